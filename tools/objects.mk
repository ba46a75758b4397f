# tools/objects.mk -- which objects make which program; sorted; read by the Makefile. A module is added here, once, in each list
# that needs it. The edge's list has no policy code on purpose: selftests/unit/edge-nm proves it.

SIP := sip/answer sip/keepalive sip/msg sip/scan sip/sdp sip/sdp_write sip/text sip/uri sip/value sip/write
HTTP := http/body http/conn http/descriptor http/field http/msg http/target http/why http/write
ENGINE := sip/binding sip/body sip/call sip/call_life sip/call_record sip/dialog sip/engine sip/forward sip/identity sip/medium sip/offer sip/pass sip/record sip/register sip/route \
	sip/route_back sip/sdes sip/table sip/timer sip/token sip/txn sip/txn_match sip/view
ENGINE += sip/contact sip/credentials sip/drain sip/lines sip/target sip/txn_move sip/txn_record sip/clocks

XMPP := xmpp/element xmpp/expat xmpp/features xmpp/jid xmpp/open xmpp/reader xmpp/write
XMPP_LIBS := -lexpat -lidn2
XMPP_LOGIN := xmpp/inner xmpp/login xmpp/login_server

TLS := user/ktls user/ktls_keys user/ktls_probe user/tls user/tls_about user/tls_bio user/tls_cert user/tls_climb user/tls_sni
CONN := user/conn user/conn_bytes user/conn_keep user/conn_splice
RELAY := user/conn_relay user/loop_clear
ADMIN_HTTP := user/admin_http user/metrics user/metrics_table user/nodes user/page user/page_files user/summary
BASE := $(ADMIN_HTTP) user/account user/addr user/admin user/config user/config_lines $(CONN) user/handover user/keep user/keeper user/keeper_carrier user/keeper_child user/keeper_open user/keeper_store user/keeper_take user/keeper_upgrade user/ktls_policy user/link_data user/link_frame user/link_peer user/link.pb-c user/lodge user/lodge_hold user/lodge_start user/lodge_turn user/lodge_wire user/log user/loop user/loop_dgram user/loop_timer $(RELAY) user/sandbox user/sockpool $(TLS) user/drain user/loop_write user/cert_files
TRACE := user/trace user/trace_sip user/wall
# And what sallyctl sees of it.
TRACE_SHOW := $(TRACE) user/trace_plan user/trace_query user/trace_show
BASE_LIBS := -lssl -lcrypto -luring -lcyaml -lyaml -lprotobuf-c -ljansson -lseccomp -lcap-ng -lsystemd

BPF := bench tc_relay xdp_probe xdp_relay

PAGE := user/page user/page_files
INSIDE := user/inside user/inside_stream user/inside_udp
LINK_CORE := user/link_core user/link_core_data
LINK_EDGE := user/link_accept user/link_edge user/link_edge_data user/link_join
EDGE := $(BASE) $(HTTP) $(SIP) user/ban user/bpf_iface user/bpf_load user/bpf_plan user/bpf_ports user/bpf_tc user/config_edge user/conn_move user/edge user/dns user/edge_admin user/dial_target user/edge_dial user/edge_keeper user/edge_main user/edge_service user/edge_summary user/gate user/gate_federation user/gate_http user/gate_http_keys user/gate_sip user/gate_xmpp user/http_token $(LINK_EDGE) user/maps user/media_edge user/media_edge_flow user/media_edge_show user/nexthop user/nexthop_nl user/prefix user/punch user/slots user/stream user/stream_dial user/stream_gate user/stream_lodge user/stream_relay user/stream_show user/maps_bpf user/maps_memory user/edge_media user/media_user user/media_user_socket $(XMPP) user/tls_hello user/wall user/edge_drain user/edge_invite user/bpf_pins user/quality user/quality_show $(TRACE_SHOW) user/edge_ask user/edge_trace user/media_edge_tap
EDGE_LIBS := $(BASE_LIBS) -lbpf -lelf -lz -lnl-route-3 -lnl-3 $(XMPP_LIBS) -lcares

SRTP := user/srtp user/srtp_evp user/srtp_fast user/srtp_kdf user/srtp_lib user/srtp_mb user/srtp_stream
SRTP_LIBS := -lsrtp2 -lcrypto $(if $(HAVE_IPSEC_MB),-lIPSec_MB)
MEDIA_CORE := $(SRTP) $(TRACE) user/media_core user/media_core_data user/media_core_join user/media_core_keep user/media_core_link user/media_core_port user/media_core_rtcp user/media_core_show user/punch user/quality user/quality_show
MEDIA_PASS := $(TRACE) user/bpf_iface user/bpf_load user/bpf_pins user/bpf_plan user/bpf_ports user/bpf_tc user/core_pass user/maps user/maps_bpf user/media_pass user/media_pass_flow user/media_pass_join user/media_pass_link user/media_pass_show user/nexthop user/nexthop_nl user/slots
ALLOW := http/allow http/allow_csv http/allow_path
# What the core decides about HTTPS.
HTTPS := $(ALLOW) user/basic user/cluster user/edge_config user/edge_config_write user/http_token user/http_token_sign user/logon user/logon_check user/logon_known user/policy user/recent user/uds_xml user/wall
UPSTREAM := user/upstream user/upstream_conn user/upstream_get user/upstream_target
CORE_HTTP := $(TRACE) user/core_http user/core_http_head user/core_http_relay user/core_http_request user/core_http_show user/core_http_user
XMPP_CORE := $(XMPP) $(XMPP_LOGIN) user/conn_move user/core_chat user/core_federation user/core_federation_peek user/core_federation_show user/core_pair user/core_xmpp user/core_xmpp_login user/core_xmpp_show user/memo user/xmpp_nodes
CORE := $(BASE) $(SIP) $(ENGINE) $(HTTP) $(HTTPS) $(UPSTREAM) $(CORE_HTTP) $(XMPP_CORE) user/config_core user/config_core_xmpp user/core_https user/core_https_admin user/config_https user/core user/core_admin user/core_keep user/core_lodge user/core_main user/core_media user/core_start user/core_stream user/core_stream_lodge user/core_summary user/dns $(INSIDE) user/link_core $(MEDIA_CORE) $(LINK_CORE) $(MEDIA_PASS) user/core_drain $(TRACE_SHOW) user/cdr user/cdr_row user/core_ask user/core_cdr user/core_trace user/core_trace_show user/core_engine
CORE_LIBS := $(BASE_LIBS) $(SRTP_LIBS) $(XMPP_LIBS) -lcares -lbpf -lelf -lz -lnl-route-3 -lnl-3

CONFIG := user/config user/config_core user/config_core_xmpp user/config_edge user/config_https user/config_lines
DOCTOR_JUDGE := tools/doctor_judge tools/doctor_judge_cert tools/doctor_judge_dns tools/doctor_judge_host tools/doctor_judge_net
DOCTOR := $(DOCTOR_JUDGE) tools/ctl_doctor tools/doctor_cert tools/doctor_dns tools/doctor_gather tools/doctor_host tools/doctor_nics tools/doctor_probe tools/doctor_probes tools/doctor_setup
DOCTOR += $(CONFIG) user/ktls user/ktls_keys user/ktls_probe
DOCTOR_LIBS := -lssl -lcares -lcyaml -lyaml -lbpf -lelf -lz
JOIN := tools/call_server tools/ctl_init tools/ctl_invite tools/ctl_join tools/host_choice tools/join_serve tools/join_store tools/join_tls tools/join_token tools/join_wait tools/setup_file tools/stage
JOIN += $(CONFIG)
CTL := tools/sallyctl tools/ctl_ask tools/ctl_print tools/pki user/addr tools/ctl_nodes user/metrics user/metrics_table tools/ctl_drain $(DOCTOR) tools/pki_cert $(JOIN) tools/ctl_capture tools/ctl_sniff tools/ctl_tap tools/ctl_trace tools/pcapng
CTL_LIBS := -ljansson $(DOCTOR_LIBS) -lcrypto -lresolv -lbpf -lelf -lz
PARSE := $(HTTP) $(SIP) $(XMPP) tools/parse_http tools/parse_main tools/parse_xmpp user/addr
PARSE_LIBS := $(XMPP_LIBS)

# ---- unit tests: name, its objects, its libraries ------------------------------------------------------------------------
UNIT := test_addr test_admin test_ban test_base64 test_body test_bpf_ports test_config test_conn test_conn_keep test_conn_relay test_dns test_drain test_engine_call \
	test_engine_dialog test_engine_hostile test_engine_identity test_engine_keep test_engine_offer \
	test_engine_random test_engine_register test_engine_ringing test_engine_ringing_kept test_gate test_inside test_keep test_keeper \
	test_ktls test_link test_link_recycle test_load_msg test_lodge test_log test_loop test_maps test_maps_memory test_media_core \
	test_media_edge \
	test_media_join test_media_keep test_media_rtcp test_media_user test_parse_main test_punch test_sdp \
	test_sip_keepalive test_sip_msg test_sip_torture test_sip_uri test_sip_value test_slots test_sockpool \
	test_srtp test_srtp_equal test_srtp_resume test_tls test_token test_txn test_upgrade
test_addr_OBJS := user/addr
test_body_OBJS := sip/body $(SIP) user/addr
test_ban_OBJS := user/addr user/ban user/log user/prefix
test_media_edge_OBJS := $(TRACE) user/addr user/link.pb-c user/log user/media_edge user/media_edge_flow user/media_edge_show user/media_edge_tap user/quality user/quality_show user/prefix user/punch user/slots
test_media_edge_LIBS := -ljansson -lcrypto -lprotobuf-c
test_media_user_OBJS := user/addr user/keeper_open user/keeper_take user/loop user/loop_dgram user/loop_timer user/loop_write user/maps user/quality user/maps_memory user/media_user user/media_user_socket user/prefix user/sockpool
test_media_user_LIBS := -luring
test_slots_OBJS := user/slots
test_clocks_OBJS := $(SIP) sip/clocks user/addr
test_quality_OBJS := user/quality
test_quality_LIBS := -lm
test_sockpool_OBJS := user/addr user/keeper_open user/keeper_take user/sockpool
test_gate_OBJS := $(SIP) user/addr user/gate user/gate_sip
test_log_OBJS := user/log
test_conn_OBJS := selftests/unit/certs user/addr $(CONN) user/loop user/loop_dgram user/loop_timer user/loop_write $(TLS)
test_conn_LIBS := -lssl -lcrypto -luring
test_splice_OBJS := $(test_conn_OBJS)
test_splice_LIBS := $(test_conn_LIBS)
test_conn_keep_OBJS := $(test_conn_OBJS)
test_conn_keep_LIBS := $(test_conn_LIBS)
test_conn_relay_OBJS := $(test_conn_OBJS) $(RELAY)
test_conn_relay_LIBS := $(test_conn_LIBS)
LINK_TEST := selftests/unit/certs selftests/unit/link_kit user/addr $(CONN) $(LINK_CORE) $(LINK_EDGE) user/link_data user/link_frame user/link_peer user/link.pb-c user/loop user/loop_dgram user/loop_timer user/tls_hello $(TLS) user/loop_write
test_link_OBJS := $(LINK_TEST)
test_link_LIBS := -lssl -lcrypto -luring -lprotobuf-c
test_link_recycle_OBJS := $(LINK_TEST)
test_link_recycle_LIBS := -lssl -lcrypto -luring -lprotobuf-c
test_loop_OBJS := user/addr user/loop user/loop_dgram user/loop_timer user/loop_write
test_loop_LIBS := -luring
test_drain_OBJS := user/addr user/loop user/loop_dgram user/loop_timer user/loop_write
test_drain_LIBS := -luring
test_ktls_OBJS := selftests/unit/certs user/addr user/ktls_policy user/log $(TLS)
test_ktls_LIBS := -lssl -lcrypto -ljansson
test_tls_OBJS := selftests/unit/certs user/addr $(TLS)
test_tls_LIBS := -lssl -lcrypto
test_config_OBJS := user/addr user/config user/config_core user/config_core_xmpp user/config_edge user/config_https user/config_lines
test_config_LIBS := -lcyaml -lyaml
UNIT += test_doctor
test_doctor_OBJS := $(DOCTOR_JUDGE)
test_doctor_LIBS := -ljansson
test_keep_OBJS := user/keep
LODGE := user/lodge user/lodge_hold user/lodge_start user/lodge_turn user/lodge_wire
test_keeper_OBJS := $(LODGE) selftests/unit/keeper_kit user/addr user/keeper user/keeper_carrier user/keeper_child user/keeper_open user/keeper_store user/keeper_take user/keeper_upgrade user/log user/loop user/loop_dgram user/loop_timer user/loop_write user/sandbox user/sockpool
test_keeper_LIBS := -lseccomp -lcap-ng -lsystemd -luring
UNIT += test_keeper_store
test_keeper_store_OBJS := $(test_keeper_OBJS)
test_keeper_store_LIBS := $(test_keeper_LIBS)
test_upgrade_OBJS := $(test_keeper_OBJS)
test_upgrade_LIBS := $(test_keeper_LIBS)
test_lodge_OBJS := $(LODGE) user/addr user/keeper_open user/keeper_take user/log user/loop user/loop_dgram user/loop_timer user/loop_write
test_lodge_LIBS := -luring

test_bpf_ports_OBJS := user/bpf_ports
test_maps_OBJS := user/addr user/maps user/quality user/maps_bpf
test_maps_LIBS := -lbpf
test_maps_memory_OBJS := user/addr user/maps user/quality user/maps_memory user/prefix
test_admin_OBJS := user/addr user/admin user/log user/loop user/loop_dgram user/loop_timer user/loop_write
test_admin_LIBS := -luring -ljansson

HELPERS := bench-core bench-flows bench-ktls bench-media bench-uring bench-user bench-xmpp load selftests/bpf/load selftests/bpf/relay selftests/bpf/user selftests/net/core-echo selftests/net/fakecore selftests/net/nexthopd selftests/net/pcapcheck selftests/net/rtptool
selftests_bpf_load_OBJS := selftests/bpf/load user/addr user/bpf_iface user/bpf_load user/bpf_ports user/bpf_tc user/maps user/maps_bpf user/bpf_pins user/quality
selftests_bpf_load_LIBS := -lbpf
selftests_bpf_relay_OBJS := selftests/bpf/cases selftests/bpf/frame selftests/bpf/quality selftests/bpf/relay selftests/bpf/rig selftests/bpf/rig_bpf selftests/bpf/stories selftests/bpf/tables user/addr user/maps user/quality user/maps_bpf
selftests_bpf_relay_LIBS := -lbpf
# The core as it is, but for one object: an echo service for tests (user/core_stream.c).
selftests_net_core-echo_OBJS := $(filter-out user/core_stream,$(CORE)) echo/user/core_stream
selftests_net_core-echo_LIBS := $(CORE_LIBS)
selftests_net_fakecore_OBJS := selftests/net/fakecore user/addr $(CONN) $(LINK_CORE) user/link_data user/link_frame user/link_peer user/link.pb-c user/log user/loop user/loop_dgram user/loop_timer user/loop_write user/punch $(TLS) user/link_core
selftests_bpf_user_OBJS := selftests/bpf/cases selftests/bpf/frame selftests/bpf/quality selftests/bpf/rig selftests/bpf/rig_user selftests/bpf/rig_wire selftests/bpf/stories selftests/bpf/tables selftests/bpf/user user/addr user/keeper_open user/keeper_take user/loop user/loop_dgram user/loop_timer user/loop_write user/maps user/quality user/maps_memory user/media_user user/media_user_socket user/prefix user/sockpool
selftests_bpf_user_LIBS := -luring
selftests_net_fakecore_LIBS := -lssl -lcrypto -luring -lprotobuf-c
selftests_net_nexthopd_OBJS := selftests/net/nexthopd user/addr user/log user/loop user/loop_dgram user/loop_timer user/loop_write user/nexthop user/nexthop_nl user/sandbox
selftests_net_nexthopd_LIBS := -luring -lnl-route-3 -lnl-3 -lseccomp -lcap-ng
selftests_net_pcapcheck_OBJS := selftests/net/pcapcheck selftests/net/srtpkit
selftests_net_pcapcheck_LIBS := -lsrtp2 -lm
selftests_net_rtptool_OBJS := selftests/net/rtptool selftests/net/srtpkit
selftests_net_rtptool_LIBS := -lsrtp2 -lm
FUZZ := fuzz_engine fuzz_gate fuzz_gate_federation fuzz_gate_http fuzz_gate_xmpp fuzz_http fuzz_https fuzz_jid fuzz_link fuzz_media fuzz_record fuzz_sdp fuzz_sip fuzz_summary fuzz_uri fuzz_xmpp fuzz_xmpp_login
fuzz_link_SRCS := user/link_frame.c $(B)/user/link.pb-c.c
fuzz_link_LIBS := -lprotobuf-c
fuzz_media_SRCS := $(SRTP:%=%.c) user/punch.c
fuzz_media_LIBS := $(SRTP_LIBS)
SIP_SRCS := $(SIP:=.c) user/addr.c
fuzz_engine_SRCS := $(SIP_SRCS) $(ENGINE:%=%.c)
fuzz_record_SRCS := $(SIP_SRCS) $(ENGINE:%=%.c)
fuzz_gate_SRCS := $(SIP_SRCS) user/gate.c user/gate_sip.c
HTTP_SRCS := $(HTTP:=.c) user/addr.c
fuzz_gate_http_SRCS := $(HTTP_SRCS) user/gate.c user/gate_http.c user/http_token.c
fuzz_gate_http_LIBS := -lcrypto
fuzz_http_SRCS := $(HTTP_SRCS) selftests/unit/http_kit.c
fuzz_https_SRCS := $(HTTP_SRCS) $(ALLOW:=.c) user/basic.c user/http_token.c user/uds_xml.c
fuzz_https_LIBS := -lcrypto -lexpat
fuzz_sdp_SRCS := $(SIP_SRCS) sip/clocks.c sip/pass.c
fuzz_sip_SRCS := $(SIP_SRCS)
fuzz_summary_SRCS := user/addr.c $(TLS:=.c) user/metrics.c user/metrics_table.c user/summary.c user/wall.c
fuzz_summary_LIBS := -lssl -lcrypto -ljansson -lm
fuzz_uri_SRCS := $(SIP_SRCS)
XMPP_SRCS := $(XMPP:=.c) user/addr.c
fuzz_gate_federation_SRCS := user/addr.c user/gate.c user/gate_federation.c user/gate_xmpp.c user/tls_hello.c $(XMPP:=.c)
fuzz_gate_federation_LIBS := $(XMPP_LIBS)
fuzz_gate_xmpp_SRCS := selftests/unit/gate_xmpp_kit.c user/addr.c user/gate.c user/gate_xmpp.c $(XMPP:=.c)
fuzz_gate_xmpp_LIBS := $(XMPP_LIBS)
fuzz_jid_SRCS := $(XMPP_SRCS)
fuzz_jid_LIBS := $(XMPP_LIBS)
fuzz_xmpp_SRCS := selftests/unit/xmpp_kit.c $(XMPP_SRCS)
fuzz_xmpp_LIBS := $(XMPP_LIBS)
fuzz_xmpp_login_SRCS := $(XMPP_LOGIN:=.c) $(XMPP_SRCS)
fuzz_xmpp_login_LIBS := $(XMPP_LIBS)

LINK_EDGE_OBJS := user/addr $(CONN) $(LINK_EDGE) user/link_data user/link_frame user/link_peer user/link.pb-c user/log user/loop user/loop_dgram user/loop_timer user/tls_hello $(TLS) user/loop_write
bench-core_OBJS := $(LINK_EDGE_OBJS) $(SIP) tools/bench_bridge tools/bench_core tools/bench_lab tools/bench_rtpengine tools/bench_stat $(SRTP)
bench-core_LIBS := -lssl -luring -lprotobuf-c -lbpf -lelf -lz -ljansson $(SRTP_LIBS)
bench-flows_OBJS := tools/bench_flows user/addr $(CONN) user/keep user/keeper_open user/keeper_take user/sockpool $(LINK_CORE) user/link_data user/link_frame user/link_peer user/link.pb-c user/log user/loop user/loop_dgram user/loop_timer user/loop_write $(TLS) $(MEDIA_CORE)
bench-flows_LIBS := -lssl -luring -lprotobuf-c -ljansson $(SRTP_LIBS)
bench-ktls_OBJS := tools/bench_ktls tools/bench_ktls_peer tools/bench_ktls_show tools/bench_stat user/addr $(CONN) user/conn_move user/loop user/loop_dgram user/loop_timer user/loop_write $(TLS)
bench-ktls_LIBS := -lssl -lcrypto -luring -ljansson
bench-uring_OBJS := tools/bench_stat tools/bench_uring tools/bench_uring_lanes tools/bench_uring_loop user/addr user/loop user/loop_dgram user/loop_timer user/loop_write
bench-uring_LIBS := -luring -ljansson
bench-xmpp_OBJS := tools/bench_xmpp_peer user/addr $(CONN) user/loop user/loop_dgram user/loop_timer $(TLS) user/loop_write
bench-xmpp_LIBS := -lssl -lcrypto -luring
bench-media_OBJS := tools/bench_lab tools/bench_media tools/bench_relay tools/bench_rtpengine tools/bench_stat user/addr user/bpf_iface user/bpf_load user/bpf_pins user/bpf_ports user/bpf_tc user/maps user/quality user/maps_bpf $(SRTP)
bench-media_LIBS := -lbpf -lelf -lz -ljansson $(SRTP_LIBS)
bench-user_OBJS := tools/bench_lab tools/bench_relay tools/bench_rtpengine tools/bench_stat tools/bench_user user/addr user/bpf_iface user/bpf_load user/bpf_pins user/bpf_ports user/bpf_tc user/keeper_open user/keeper_take user/loop user/loop_dgram user/loop_timer user/loop_write user/maps user/quality user/maps_bpf user/maps_memory user/media_user user/media_user_socket user/prefix user/sockpool $(SRTP)
bench-user_LIBS := -lbpf -lelf -lz -ljansson -luring $(SRTP_LIBS)
test_sdp_OBJS := $(SIP) user/addr
test_sip_keepalive_OBJS := $(SIP) user/addr
test_sip_msg_OBJS := $(SIP) user/addr
test_sip_torture_OBJS := $(SIP) $(ENGINE) selftests/unit/engine_kit user/addr user/gate user/gate_sip
test_sip_torture_LIBS := -lcrypto
test_sip_uri_OBJS := $(SIP) user/addr
test_sip_value_OBJS := $(SIP) user/addr
test_engine_call_OBJS := $(SIP) $(ENGINE) selftests/unit/call_kit selftests/unit/engine_kit user/addr
test_engine_call_LIBS := -lcrypto
test_engine_random_OBJS := $(SIP) $(ENGINE) selftests/unit/call_kit selftests/unit/engine_kit user/addr
test_engine_random_LIBS := -lcrypto
test_engine_offer_OBJS := $(SIP) $(ENGINE) selftests/unit/call_kit selftests/unit/engine_kit user/addr
test_engine_offer_LIBS := -lcrypto
UNIT += test_splice
UNIT += test_engine_pass
test_engine_pass_OBJS := $(SIP) $(ENGINE) selftests/unit/call_kit selftests/unit/engine_kit user/addr
test_engine_pass_LIBS := -lcrypto
test_engine_dialog_OBJS := $(SIP) $(ENGINE) selftests/unit/call_kit selftests/unit/engine_kit user/addr
test_engine_dialog_LIBS := -lcrypto
test_engine_hostile_OBJS := $(SIP) $(ENGINE) selftests/unit/call_kit selftests/unit/engine_kit user/addr
test_engine_hostile_LIBS := -lcrypto
test_engine_keep_OBJS := $(SIP) $(ENGINE) selftests/unit/call_kit selftests/unit/engine_kit user/addr
test_engine_keep_LIBS := -lcrypto
test_engine_ringing_OBJS := $(SIP) $(ENGINE) selftests/unit/call_kit selftests/unit/engine_kit selftests/unit/ring_kit user/addr
test_engine_ringing_LIBS := -lcrypto
test_engine_ringing_kept_OBJS := $(test_engine_ringing_OBJS)
test_engine_ringing_kept_LIBS := -lcrypto
test_engine_register_OBJS := $(SIP) $(ENGINE) selftests/unit/engine_kit user/addr
test_engine_register_LIBS := -lcrypto
UNIT += test_core_stream test_engine_contact test_engine_lines test_engine_ringing_streams test_engine_streams test_engine_target test_engine_whose
UNIT += test_draining test_engine_drain
test_draining_OBJS := user/addr user/drain user/keeper_open user/keeper_take user/log
test_engine_drain_OBJS := $(SIP) $(ENGINE) selftests/unit/call_kit selftests/unit/engine_kit user/addr
test_engine_drain_LIBS := -lcrypto
test_engine_lines_OBJS := $(SIP) $(ENGINE) selftests/unit/call_kit selftests/unit/engine_kit user/addr
test_engine_lines_LIBS := -lcrypto
test_core_stream_OBJS := $(SIP) $(TRACE) user/addr $(CONN) $(RELAY) user/core_stream user/core_stream_lodge $(LINK_CORE) user/link_data user/link_frame user/link_peer user/link.pb-c user/log user/loop user/loop_dgram user/loop_timer user/loop_write $(TLS)
test_core_stream_LIBS := -lssl -lcrypto -luring -lprotobuf-c
test_engine_ringing_streams_OBJS := $(SIP) $(ENGINE) selftests/unit/call_kit selftests/unit/engine_kit selftests/unit/ring_kit user/addr
test_engine_ringing_streams_LIBS := -lcrypto
test_engine_streams_OBJS := $(SIP) $(ENGINE) selftests/unit/call_kit selftests/unit/engine_kit user/addr
test_engine_streams_LIBS := -lcrypto
test_engine_target_OBJS := $(SIP) $(ENGINE) selftests/unit/call_kit selftests/unit/engine_kit user/addr
test_engine_target_LIBS := -lcrypto
test_engine_contact_OBJS := $(SIP) $(ENGINE) selftests/unit/call_kit selftests/unit/engine_kit user/addr
test_engine_contact_LIBS := -lcrypto
test_engine_whose_OBJS := $(SIP) $(ENGINE) selftests/unit/engine_kit user/addr
test_engine_whose_LIBS := -lcrypto
test_engine_identity_OBJS := $(SIP) $(ENGINE) selftests/unit/engine_kit user/addr
test_engine_identity_LIBS := -lcrypto
test_txn_OBJS := $(SIP) $(ENGINE) selftests/unit/engine_kit user/addr
test_txn_LIBS := -lcrypto
test_token_OBJS := $(SIP) $(ENGINE) selftests/unit/engine_kit user/addr
test_token_LIBS := -lcrypto
test_media_core_OBJS := selftests/unit/media_kit $(MEDIA_CORE) user/keep user/keeper_open user/keeper_take user/sockpool user/addr user/link.pb-c user/loop user/loop_dgram user/loop_timer user/loop_write
test_media_keep_OBJS := selftests/unit/media_kit $(MEDIA_CORE) user/keep user/addr user/keeper_open user/keeper_take user/link.pb-c user/loop user/loop_dgram user/loop_timer user/loop_write user/sockpool
test_media_keep_LIBS := $(SRTP_LIBS) -luring -lprotobuf-c -ljansson
test_media_core_LIBS := $(SRTP_LIBS) -luring -lprotobuf-c -ljansson
test_media_rtcp_OBJS := $(test_media_core_OBJS)
test_media_rtcp_LIBS := $(test_media_core_LIBS)
test_media_join_OBJS := $(test_media_core_OBJS)
test_media_join_LIBS := $(test_media_core_LIBS)
test_punch_OBJS := user/punch
test_punch_LIBS := -lcrypto
test_srtp_OBJS := $(SRTP)
test_srtp_LIBS := $(SRTP_LIBS)
test_srtp_equal_OBJS := $(SRTP)
test_srtp_equal_LIBS := $(SRTP_LIBS)
test_srtp_resume_OBJS := $(SRTP)
test_srtp_resume_LIBS := $(SRTP_LIBS)
test_inside_OBJS := $(SIP) $(INSIDE) user/addr $(CONN) user/dns user/log user/loop user/loop_dgram user/loop_timer user/loop_write $(TLS)
test_inside_LIBS := -ljansson -lssl -lcrypto -luring -lcares
test_dns_OBJS := user/addr user/dns user/loop user/loop_dgram user/loop_timer user/loop_write
test_dns_LIBS := -luring -lcares
load_OBJS := $(SIP) $(SRTP) tools/load tools/load_call tools/load_call_msg tools/load_calls tools/load_calls_main tools/load_client tools/load_content tools/load_media tools/load_msg tools/load_udp user/addr $(CONN) user/loop user/loop_dgram user/loop_timer user/loop_write $(TLS)
load_LIBS := -lssl -luring -ljansson $(SRTP_LIBS)
test_load_msg_OBJS := $(SIP) tools/load_msg user/addr
test_load_msg_LIBS := -lcrypto
UNIT += test_load_call test_load_content
test_load_call_OBJS := $(SIP) $(SRTP) tools/load_call_msg tools/load_msg user/addr
test_load_call_LIBS := $(SRTP_LIBS)
test_load_content_OBJS := tools/load_content
UNIT += test_media_pass
UNIT += test_clocks test_quality
test_media_pass_OBJS := $(TRACE) user/addr user/link.pb-c user/log user/loop user/loop_dgram user/loop_timer user/loop_write user/maps user/quality user/maps_memory user/media_pass user/media_pass_flow user/media_pass_join user/media_pass_link user/media_pass_show user/quality_show user/prefix user/punch user/slots
test_media_pass_LIBS := -ljansson -lcrypto -luring -lprotobuf-c
UNIT += test_federation_peek test_xmpp_features test_xmpp_jid test_xmpp_limits test_xmpp_login test_xmpp_nodes test_xmpp_reader test_xmpp_write
test_xmpp_features_OBJS := $(XMPP) selftests/unit/xmpp_kit user/addr
test_xmpp_features_LIBS := $(XMPP_LIBS)
test_xmpp_jid_OBJS := $(XMPP) user/addr
test_xmpp_jid_LIBS := $(XMPP_LIBS)
test_xmpp_limits_OBJS := $(XMPP) selftests/unit/xmpp_kit user/addr
test_xmpp_limits_LIBS := $(XMPP_LIBS)
test_xmpp_login_OBJS := $(XMPP) $(XMPP_LOGIN) user/addr
test_xmpp_login_LIBS := $(XMPP_LIBS)
test_federation_peek_OBJS := $(XMPP) user/addr user/core_federation_peek
test_federation_peek_LIBS := $(XMPP_LIBS)
test_xmpp_nodes_OBJS := user/addr user/log user/loop user/loop_dgram user/loop_timer user/loop_write user/memo user/xmpp_nodes
test_xmpp_nodes_LIBS := -luring -ljansson
test_xmpp_reader_OBJS := $(XMPP) selftests/unit/xmpp_kit user/addr
test_xmpp_reader_LIBS := $(XMPP_LIBS)
test_xmpp_write_OBJS := $(XMPP) user/addr
test_xmpp_write_LIBS := $(XMPP_LIBS)
UNIT += test_gate_xmpp
test_gate_xmpp_OBJS := $(XMPP) selftests/unit/gate_xmpp_kit user/addr user/gate user/gate_xmpp
test_gate_xmpp_LIBS := $(XMPP_LIBS)
UNIT += test_dial_target test_gate_federation test_start_tls test_tls_hello
test_dial_target_OBJS := user/addr user/dial_target
test_gate_federation_OBJS := $(XMPP) user/addr user/gate user/gate_federation user/gate_xmpp user/tls_hello
test_gate_federation_LIBS := $(XMPP_LIBS) -lssl -lcrypto
test_start_tls_OBJS := $(test_conn_OBJS)
test_start_tls_LIBS := $(test_conn_LIBS)
test_tls_hello_OBJS := user/tls_hello
test_tls_hello_LIBS := -lssl -lcrypto
UNIT += test_cert_files
test_cert_files_OBJS := selftests/unit/certs user/addr user/config user/config_edge user/config_lines user/cert_files user/keeper_open user/keeper_take user/log $(TLS)
test_cert_files_LIBS := -lssl -lcrypto -lcyaml -lyaml
UNIT += test_host_choice test_join_serve test_join_token
test_host_choice_OBJS := tools/host_choice user/addr
test_join_token_OBJS := tools/join_token user/addr
test_join_token_LIBS := -lcrypto
test_join_serve_OBJS := $(filter-out tools/ctl_%,$(JOIN)) tools/ctl_print tools/pki_cert user/addr
test_join_serve_LIBS := -ljansson -lssl -lcrypto -lcyaml -lyaml -lresolv
UNIT += test_http_body test_http_conn test_http_descriptor test_http_msg test_http_torture test_http_write
test_http_body_OBJS := $(HTTP) user/addr
test_http_conn_OBJS := $(HTTP) user/addr
test_http_descriptor_OBJS := $(HTTP) user/addr
test_http_msg_OBJS := $(HTTP) user/addr
test_http_torture_OBJS := $(HTTP) selftests/unit/http_kit user/addr
UNIT += test_http_hops
test_http_hops_OBJS := $(HTTP) selftests/unit/http_kit user/addr user/gate user/gate_http user/http_token user/http_token_sign user/wall
test_http_hops_LIBS := -lcrypto
test_http_write_OBJS := $(HTTP) user/addr
UNIT += test_gate_http test_gate_http_keys test_http_token
test_gate_http_OBJS := $(HTTP) user/addr user/gate user/gate_http user/http_token user/http_token_sign user/wall
test_gate_http_LIBS := -lcrypto
test_gate_http_keys_OBJS := $(HTTP) user/addr user/gate_http_keys user/http_token user/http_token_sign user/link.pb-c user/wall
test_gate_http_keys_LIBS := -lcrypto -lprotobuf-c
test_http_token_OBJS := $(HTTP) user/addr user/http_token user/http_token_sign user/wall
test_http_token_LIBS := -lcrypto
UNIT += test_allow
test_allow_OBJS := $(HTTP) $(ALLOW) user/addr
UNIT += test_config_https
test_config_https_OBJS := $(test_config_OBJS)
test_config_https_LIBS := $(test_config_LIBS)
UNIT += test_logon
test_logon_OBJS := $(HTTP) $(filter-out user/edge_config%,$(HTTPS)) selftests/unit/logon_kit user/addr user/config user/config_core user/config_core_xmpp user/config_https user/config_lines user/log
test_logon_LIBS := -lcrypto -ljansson -lexpat -lcyaml -lyaml
UNIT += test_edge_config
test_edge_config_OBJS := $(test_logon_OBJS) user/edge_config user/edge_config_write
test_edge_config_LIBS := $(test_logon_LIBS)
UNIT += test_policy
test_policy_OBJS := $(HTTP) $(ALLOW) user/addr user/cluster user/config user/config_core user/config_core_xmpp user/config_https user/config_lines user/http_token user/policy user/recent user/uds_xml
test_policy_LIBS := -lcrypto -ljansson -lexpat -lcyaml -lyaml
UNIT += test_upstream
test_upstream_OBJS := selftests/unit/certs selftests/unit/origin_kit $(HTTP) user/addr $(CONN) user/dns user/loop user/loop_dgram user/loop_timer user/loop_write $(TLS) $(UPSTREAM)
test_upstream_LIBS := -lssl -lcrypto -luring -lcares -ljansson
UNIT += test_admin_http test_metrics test_summary
test_admin_http_OBJS := $(test_conn_OBJS) $(HTTP) $(PAGE) user/admin_http user/log user/wall
test_admin_http_LIBS := $(test_conn_LIBS) -ljansson
test_metrics_OBJS := user/metrics user/metrics_table
test_metrics_LIBS := -ljansson
test_summary_OBJS := $(LINK_TEST) user/nodes user/summary user/wall
test_summary_LIBS := -lssl -lcrypto -luring -lprotobuf-c -ljansson
UNIT += test_page
test_page_OBJS := $(PAGE)
UNIT += test_core_http
test_core_http_OBJS := $(LINK_TEST) selftests/unit/origin_kit $(HTTP) $(filter-out user/edge_config%,$(HTTPS)) $(UPSTREAM) $(CORE_HTTP) user/config user/config_core user/config_core_xmpp user/config_https user/config_lines user/dns
test_core_http_LIBS := -lssl -lcrypto -luring -lprotobuf-c -lcares -ljansson -lexpat -lcyaml -lyaml
UNIT += test_trace
test_trace_OBJS := $(TRACE_SHOW) user/addr user/keeper_open user/keeper_take
test_trace_LIBS := -ljansson
UNIT += test_cdr
test_cdr_OBJS := user/addr user/cdr user/cdr_row user/log user/loop user/loop_dgram user/loop_timer user/loop_write user/wall
test_cdr_LIBS := -ljansson -luring
UNIT += test_pcapng
test_pcapng_OBJS := tools/pcapng
