/* user/metrics_table.c -- every metric: see metrics.h. Rows of one family stand together. A new one wants `make METRICS.md`. */
#include "user/metrics.h"

#define NODE(name, type, unit, help, path, labels, scale)                   \
	{                                                                   \
		name, METRIC_##type, unit, help, false, path, labels, scale \
	}
#define OWN(name, type, unit, help, path, labels, scale)                   \
	{                                                                  \
		name, METRIC_##type, unit, help, true, path, labels, scale \
	}
/* Further samples of the family above. */
#define MORE(path, labels)                                         \
	{                                                          \
		"", METRIC_GAUGE, "", NULL, false, path, labels, 0 \
	}
#define MORE_OWN(path, labels)                                    \
	{                                                         \
		"", METRIC_GAUGE, "", NULL, true, path, labels, 0 \
	}

const struct metric metrics_table[] = {
	/* ---- every node: user/summary.h */
	NODE("sallyport_build", INFO, "", "Role and version of a node", "",
	     "role=role,version=version", 0),
	NODE("sallyport_uptime_seconds", GAUGE, "seconds", "Since the start of the node's worker",
	     "uptime_s", "", 0),
	NODE("sallyport_report_age_seconds", GAUGE, "seconds",
	     "Since the node's last report came; 0 of the node that is asked, above 15 it is stale",
	     "age_ms", "", 0.001),
	NODE("sallyport_registrations", GAUGE, "", "Registered devices now", "registrations.now",
	     "", 0),
	NODE("sallyport_registrations_peak", GAUGE, "",
	     "Most registered devices at once since the service has started", "registrations.peak",
	     "", 0),
	NODE("sallyport_calls", GAUGE, "", "Calls now", "calls.now", "", 0),
	NODE("sallyport_calls_peak", GAUGE, "", "Most calls at once since the service has started",
	     "calls.peak", "", 0),
	NODE("sallyport_calls_started", COUNTER, "", "Calls", "calls.total", "", 0),
	NODE("sallyport_flows", GAUGE, "",
	     "Media flows now, by what carries them (xdp, tc, user; terminated: SRTP ends here)",
	     "flows.*", "rung=*", 0),
	NODE("sallyport_media_packets", COUNTER, "packets",
	     "Media packets of all flows, in: from clients", "media.packets_in", "direction:in", 0),
	MORE("media.packets_out", "direction:out"),
	NODE("sallyport_media_bytes", COUNTER, "bytes", "Their bytes", "media.bytes_in",
	     "direction:in", 0),
	MORE("media.bytes_out", "direction:out"),
	/* here: loss, reordering, jitter, when the summary has them */
	NODE("sallyport_streams", GAUGE, "", "Clients' and servers' streams now", "streams.sip",
	     "service:sip", 0),
	MORE("streams.https", "service:https"),
	MORE("streams.xmpp", "service:xmpp"),
	MORE("streams.federation", "service:federation"),
	NODE("sallyport_streams_admitted", GAUGE, "",
	     "Streams whose user has authenticated, by rung (kernel, kernel_send, user: TLS; "
	     "plain: "
	     "of servers)",
	     "rungs.*", "rung=*", 0),
	NODE("sallyport_refusals", COUNTER, "",
	     "What was refused, by reason; media-: flows; https-, chat-, federation-: by the core",
	     "refusals.*", "reason=*", 0),
	NODE("sallyport_bans", GAUGE, "", "Banned prefixes now", "bans.active", "", 0),
	NODE("sallyport_bans_set", COUNTER, "", "Bans, also those that a core ordered",
	     "bans.total", "", 0),
	NODE("sallyport_certificate_not_after_seconds", GAUGE, "seconds",
	     "End of a certificate that the node shows, in seconds since 1970 (what: sip, https, "
	     "xmpp, link)",
	     "certificates[].not_after", "what=what,name=name", 0),
	NODE("sallyport_link_up", GAUGE, "", "1: the link to the peer is up", "links[].state=up",
	     "peer=peer", 0),
	NODE("sallyport_link_uptime_seconds", GAUGE, "seconds",
	     "Since the link is up; 0: it is not", "links[].up_s", "peer=peer", 0),
	NODE("sallyport_link_pool_idle", GAUGE, "",
	     "Data connections of the link that wait for a stream", "links[].pool_idle",
	     "peer=peer", 0),
	NODE("sallyport_memory_bytes", GAUGE, "bytes", "Resident memory of the worker",
	     "memory_kib", "", 1024),
	NODE("sallyport_cpu_seconds", COUNTER, "seconds", "CPU time of the worker", "cpu_s", "", 0),

	/* ---- this node, an edge */
	OWN("sallyport_streams_opened", COUNTER, "", "Streams by service",
	    "streams.services.*.opened", "service=*", 0),
	OWN("sallyport_streams_unadmitted", GAUGE, "",
	    "Streams now that nobody has authenticated on", "streams.unadmitted", "", 0),
	OWN("sallyport_streams_taken_over", COUNTER, "", "Streams of the worker before",
	    "streams.taken_over", "", 0),
	MORE_OWN("kept.stream.taken_over", ""),
	OWN("sallyport_streams_lost", COUNTER, "", "Streams that ended with the worker before",
	    "streams.lost_with_worker", "", 0),
	MORE_OWN("kept.stream.lost", ""),
	OWN("sallyport_media_slots", GAUGE, "", "Media flows that there are ports for",
	    "media.slots", "", 0),
	MORE_OWN("relay.slots", ""),
	OWN("sallyport_flows_allocated", COUNTER, "", "Media flows that cores asked for",
	    "media.allocated", "", 0),
	OWN("sallyport_punches", COUNTER, "", "Packets by which a core shows where it is",
	    "media.punches.*", "result=*", 0),
	OWN("sallyport_relay_packets", COUNTER, "packets",
	    "Packets by verdict of the relay in the kernel (forward_, told_, pass_, drop_)",
	    "xdp.*", "reason=*", 0),
	MORE_OWN("relay.packets.*", "reason=*"),
	OWN("sallyport_dials", COUNTER, "",
	    "Connections to other organisations' chat servers, by result", "dials.*-open",
	    "result=*", 0),

	/* ---- this node, a core */
	OWN("sallyport_transactions", GAUGE, "", "SIP transactions now", "counters.transactions",
	    "", 0),
	OWN("sallyport_sip_messages", COUNTER, "", "SIP requests and responses that came",
	    "counters.requests", "kind:request", 0),
	MORE_OWN("counters.responses", "kind:response"),
	OWN("sallyport_registers_ok", COUNTER, "",
	    "Registrations and refreshes that call servers took", "counters.registers_ok", "", 0),
	OWN("sallyport_half_registered", COUNTER, "",
	    "Streams that were closed so that all of their lines register again",
	    "counters.half_registered", "", 0),
	OWN("sallyport_sip_timeouts", COUNTER, "", "SIP transactions that nobody answered",
	    "counters.timeouts", "", 0),
	OWN("sallyport_inside_send_errors", COUNTER, "",
	    "Messages that could not be sent to a call server", "counters.inside_send_errors", "",
	    0),
	OWN("sallyport_call_server_up", GAUGE, "", "0: requests pass this target over",
	    "call_servers[].targets[].state!down", "call_server=call_server,target=address", 0),
	OWN("sallyport_call_server_failures", COUNTER, "", "Times that a target was found away",
	    "call_servers[].targets[].failures", "call_server=call_server,target=address", 0),
	OWN("sallyport_call_server_registrations_lost", COUNTER, "",
	    "Times that a target was seen to have lost its registrations",
	    "call_servers[].targets[].registrations_lost", "call_server=call_server,target=address",
	    0),
	OWN("sallyport_media_events", COUNTER, "",
	    "What went wrong with media that ends here, and what a worker took up", "media.*-media",
	    "event=*", 0),
	OWN("sallyport_kept_records", GAUGE, "", "Records that would outlive the worker",
	    "kept.*.records", "kind=*", 0),
	OWN("sallyport_kept_refused", COUNTER, "", "Records that would not", "kept.*.no_slot",
	    "kind=*,reason:no-slot", 0),
	MORE_OWN("kept.*.too_large", "kind=*,reason:too-large"),
	OWN("sallyport_https_requests", COUNTER, "", "HTTPS requests by outcome",
	    "https.outcomes.*", "outcome=*", 0),
	OWN("sallyport_https_active", GAUGE, "", "HTTPS requests now", "https.active", "", 0),
	OWN("sallyport_https_bytes", COUNTER, "bytes", "Bytes of HTTPS streams, in: from clients",
	    "https.bytes_in", "direction:in", 0),
	MORE_OWN("https.bytes_out", "direction:out"),
	OWN("sallyport_https_upstream_failures", COUNTER, "", "Failures of web servers, by reason",
	    "https.upstream.failures.*", "reason=*", 0),
	OWN("sallyport_https_upstream_connections", GAUGE, "", "Connections to web servers now",
	    "https.upstream.connections", "", 0),
	OWN("sallyport_chat_logins", COUNTER, "", "Chat clients that logged on", "xmpp.logins", "",
	    0),
	OWN("sallyport_chat_ends", COUNTER, "", "Chat streams that ended, by how", "xmpp.ends.*",
	    "how=*", 0),

	/* ---- this node */
	OWN("sallyport_link_events", COUNTER, "",
	    "What happened on the link: dials, refused, bad_frames, silent, pool_empty and others",
	    "link.*", "event=*", 0),
	OWN("sallyport_loop_rounds", COUNTER, "", "Turns of the event loop", "loop.rounds", "", 0),
	MORE_OWN("counters.loop_rounds", ""),
	OWN("sallyport_loop_errors", COUNTER, "", "Operations of the event loop that failed",
	    "loop.recv_errors", "operation:receive", 0),
	MORE_OWN("loop.no_recv_buf", "operation:receive-buffer"),
	MORE_OWN("loop.truncated", "operation:receive-truncated"),
	MORE_OWN("loop.send_errors", "operation:send"),
	MORE_OWN("loop.accept_errors", "operation:accept"),
	MORE_OWN("counters.send_errors", "operation:send"),
	MORE_OWN("counters.accept_errors", "operation:accept"),
	OWN("sallyport_node_reports", COUNTER, "",
	    "Reports of this node and of its peers (sent, not_sent; taken, refused, too_early)",
	    "node_reports.*", "result=*", 0),
	OWN("sallyport_admin_http_requests", COUNTER, "", "Requests to the admin port",
	    "admin_http.requests", "", 0),
	OWN("sallyport_admin_http_refused", COUNTER, "",
	    "Of them refused, or their connection ended", "admin_http.refused_host", "reason:host",
	    0),
	MORE_OWN("admin_http.refused", "reason:malformed"),
	MORE_OWN("admin_http.closed_slow", "reason:slow"),
	MORE_OWN("admin_http.closed_full", "reason:full"),
};

const unsigned metrics_table_n = sizeof(metrics_table) / sizeof(metrics_table[0]);
