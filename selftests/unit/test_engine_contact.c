/* selftests/unit/test_engine_contact.c -- mode `contact`: what a call server without Path sees of clients, and the way
 * back. In: literal messages of both sides. Out: Contacts, Request-URIs, what each device gets back. */
#include "selftests/unit/call_kit.h"

#define DESK  "<sip:alice@192.168.1.9:5061;transport=tls>"
#define INST  ";+sip.instance=\"<urn:uuid:%u>\";reg-id=%u"
#define AT_US "@10.0.0.2:5070;transport=udp>"
#define DIGEST                                                                           \
	"Authorization: Digest username=\"alice\", realm=\"stand.test\", nonce=\"n1\", " \
	"response=\"x\"\n"

static struct engine_server servers[2];

/* REGISTER of alice with these fields. */
static struct kit_msg *say(struct kit *k, uint64_t stream, const char *fields)
{
	static unsigned n;

	kit_client(k, stream,
		   "REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKs%u\n"
		   "From: <sip:alice@stand.test>;tag=1\nTo: <sip:alice@stand.test>\nCall-ID: r\n"
		   "CSeq: %u REGISTER\nMax-Forwards: 70\nSupported: outbound, path, gruu\n" DIGEST
		   "%s",
		   n, n + 1, fields);
	n++;
	return kit_inside_request(k, "REGISTER");
}

static struct kit *kit_contact(void)
{
	struct kit *k = kit_new();
	struct kit_msg *m;

	memcpy(servers, k->c.servers, sizeof(servers));
	servers[0].contact_mode = true;
	k->c.servers = servers;
	kit_restart(k);
	kit_stream(k, 1);
	kit_stream(k, 2);
	m = say(k, 1, "Contact: " DESK "\n");
	kit_inside(k, "%sWWW-Authenticate: Digest realm=\"stand.test\", nonce=\"n1\"\n",
		   kit_answer(k, m, "401 Unauthorized", "s"));
	(void)kit_client_answer(k, 1, 401);
	return k;
}

/* One device registers; @uri (300 bytes) is what the call server has of it then. */
static void device(struct kit *k, uint64_t stream, const char *contact, unsigned inst, char *uri)
{
	char line[500];
	struct kit_msg *m;
	const char *value;

	(void)snprintf(line, sizeof(line), "Contact: %s" INST "\nExpires: 600\n", contact, inst,
		       1u);
	m = say(k, stream, line);
	value = kit_hdr(k, m, "Contact");
	assert_string_equal(kit_hdr(k, m, "Path"), "");
	assert_int_equal(value[0], '<');
	(void)snprintf(uri, 300, "%.*s", (int)(strchr(value, '>') - value - 1), value + 1);
	kit_inside(k, "%sContact: %s;expires=600\n", kit_answer(k, m, "200 OK", "s"), value);
	m = kit_client_answer(k, stream, 200);
	(void)snprintf(line, sizeof(line), "%s" INST ";expires=600", contact, inst, 1u);
	assert_string_equal(kit_hdr(k, m, "Contact"), line);
	kit_nothing(k);
}

/* Each device has its own back, with the registrar's parameters; the user's other devices are shown by theirs; what is
 * not known here stays what it is. */
static void test_contact_register(void **state)
{
	struct kit *k = kit_contact();
	char desk[300], mobile[300], again[300];
	struct kit_msg *m;

	(void)state;
	device(k, 1, DESK, 1, desk);
	assert_non_null(strstr(desk, "@10.0.0.2:5070;transport=udp"));
	assert_null(strstr(desk, "192.168"));
	assert_null(strstr(desk, "alice"));
	device(k, 2, "<sip:x7@10.1.1.1>", 2, mobile);
	assert_string_not_equal(desk, mobile);
	/* the same device from elsewhere is the same to the call server */
	device(k, 2, "<sip:y9@10.1.1.2>", 2, again);
	assert_string_equal(mobile, again);
	m = say(k, 1,
		"m: \"A, <b>\" " DESK
		";q=0.7;expires=60;+sip.instance=\"<urn:uuid:1>\";reg-id=1;+x\n");
	assert_string_equal(kit_hdr_n(k, m, "Contact", 1), "");
	assert_string_equal(kit_hdr(k, m, "m"), "");
	assert_non_null(strstr(kit_hdr(k, m, "Contact"), "\"A, <b>\" <sip:"));
	assert_non_null(strstr(kit_hdr(k, m, "Contact"), AT_US
			       ";q=0.7;expires=60;+sip.instance=\"<urn:uuid:1>\";reg-id=1;+x"));
	kit_inside(k,
		   "%sContact: <%s>;expires=55;q=0.7;pub-gruu=\"sip:alice@stand.test;gr=1\""
		   ";temp-gruu=\"sip:t1@stand.test;gr\";+sip.instance=\"<urn:uuid:1>\", "
		   "<%s>;expires=500;q=0.1\nContact: sip:z@10.0.0.40;expires=7\n"
		   "Contact: <sip:FAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" AT_US "\n",
		   kit_answer(k, m, "200 OK", "s"), desk, mobile);
	m = kit_client_answer(k, 1, 200);
	assert_string_equal(kit_hdr_n(k, m, "Contact", 0), DESK
			    ";expires=55;q=0.7;pub-gruu=\"sip:alice@stand.test;gr=1\""
			    ";temp-gruu=\"sip:t1@stand.test;gr\";+sip.instance=\"<urn:uuid:1>\"");
	assert_string_equal(kit_hdr_n(k, m, "Contact", 1), "<sip:y9@10.1.1.2>;expires=500;q=0.1");
	assert_string_equal(kit_hdr_n(k, m, "Contact", 2), "<sip:z@10.0.0.40>;expires=7");
	assert_string_equal(kit_hdr_n(k, m, "Contact", 3),
			    "<sip:FAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" AT_US);
	assert_string_equal(kit_hdr_n(k, m, "Contact", 4), "");
	/* a query shows both */
	m = say(k, 1, "");
	kit_inside(k, "%sContact: <%s>;expires=5, <%s>;expires=6\n",
		   kit_answer(k, m, "200 OK", "s"), desk, mobile);
	m = kit_client_answer(k, 1, 200);
	assert_string_equal(kit_hdr_n(k, m, "Contact", 0), DESK ";expires=5");
	assert_string_equal(kit_hdr_n(k, m, "Contact", 1), "<sip:y9@10.1.1.2>;expires=6");
	kit_settled(k);
	kit_free(k);
}

static void test_contact_unregister(void **state)
{
	struct kit *k = kit_contact();
	char desk[300], mobile[300];
	struct kit_msg *m;

	(void)state;
	device(k, 1, DESK, 1, desk);
	device(k, 2, "<sip:x7@10.1.1.1>", 2, mobile);
	/* new and old address of one device in one REGISTER: one URI of ours, which stays */
	m = say(k, 1,
		"Contact: <sip:n@192.168.1.9>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\n"
		"Contact: " DESK ";+sip.instance=\"<urn:uuid:1>\";reg-id=1;expires=0\n"
		"Contact: sip:old@10.9.9.9;expires=0\n");
	assert_non_null(strstr(kit_hdr_n(k, m, "Contact", 0), desk));
	assert_non_null(strstr(kit_hdr_n(k, m, "Contact", 1), AT_US ";expires=0"));
	assert_null(strstr(kit_hdr_n(k, m, "Contact", 1), desk));
	assert_string_equal(kit_hdr_n(k, m, "Contact", 2), "");
	kit_inside(k, "%sContact: <%s>;expires=60\n", kit_answer(k, m, "200 OK", "s"), desk);
	m = kit_client_answer(k, 1, 200);
	assert_string_equal(kit_hdr(k, m, "Contact"), "<sip:n@192.168.1.9>;expires=60");
	assert_int_equal(engine_stats(k->e)->bindings, 2);
	m = say(k, 1,
		"Contact: <sip:n@192.168.1.9>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\nExpires: "
		"0\n");
	assert_non_null(strstr(kit_hdr(k, m, "Contact"), desk));
	kit_inside(k, "%sContact: <%s>;expires=60\n", kit_answer(k, m, "200 OK", "s"), mobile);
	m = kit_client_answer(k, 1, 200);
	assert_string_equal(kit_hdr(k, m, "Contact"), "<sip:x7@10.1.1.1>;expires=60");
	assert_int_equal(engine_stats(k->e)->bindings, 1);
	m = say(k, 2, "Contact: *\nExpires: 0\n");
	assert_string_equal(kit_hdr(k, m, "Contact"), "*");
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", "s"));
	(void)kit_client_answer(k, 2, 200);
	assert_int_equal(engine_stats(k->e)->bindings, 0);
	kit_settled(k);
	kit_free(k);
}

/* An unconfirmed registration is taken back by the URI under which the server has it. */
static void test_contact_take_back(void **state)
{
	struct kit *k = kit_contact();
	struct kit_msg *m = say(k, 1, "Contact: " DESK "\n");
	char want[300];

	(void)state;
	(void)snprintf(want, sizeof(want), "%s;expires=0", kit_hdr(k, m, "Contact"));
	kit_inside(k, "%sContact: " DESK ";expires=60\n", kit_answer(k, m, "200 OK", "s"));
	(void)kit_client_answer(k, 1, 403);
	m = kit_inside_request(k, "REGISTER");
	assert_string_equal(kit_hdr(k, m, "Contact"), want);
	assert_string_equal(kit_hdr(k, m, "Path"), "");
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", "s"));
	assert_int_equal(k->admits, 0);
	/* what the server knows a device by is nobody's to register */
	*strstr(want, ";expires") = 0;
	kit_client(k, 2,
		   "REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKtk\n"
		   "From: <sip:eve@stand.test>;tag=1\nTo: <sip:eve@stand.test>\nCall-ID: r\n"
		   "CSeq: 1 REGISTER\nMax-Forwards: 70\nContact: %s\n",
		   want);
	(void)kit_client_answer(k, 2, 403);
	assert_non_null(strstr(k->logs, "reason=contact-token "));
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

static void ruri_is(const struct kit_msg *m, const char *uri)
{
	if (!span_eq(m->m.ruri.whole, span_str(uri)))
		fail_msg("Request-URI %s was expected, not:\n%s", uri, m->text);
}

/* From inside to @uri, without Route; @more: To tag and so on. */
static void to_uri(struct kit *k, const char *method, const char *uri, const char *totag,
		   const char *more)
{
	static unsigned n;

	kit_inside(k,
		   "%s %s SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKu%u\n"
		   "Record-Route: <sip:10.0.0.5;lr>\nFrom: <sip:bob@stand.test>;tag=b1\n"
		   "To: <sip:alice@stand.test>%s\nCall-ID: c1\nCSeq: 7 %s\n" CONTACT_B
		   "Max-Forwards: 69\n%s",
		   method, uri, strcmp(method, "ACK") ? ++n : n, totag, method, more);
}

static void in_dialog(struct kit *k, const char *method, unsigned cseq, const char *uri,
		      const char *routes, const char *more)
{
	kit_inside(k,
		   "%s %s SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKd%s%u\n%s"
		   "From: <sip:bob@stand.test>;tag=b1\nTo: <sip:alice@stand.test>;tag=a1\n"
		   "Call-ID: c1\nCSeq: %u %s\nMax-Forwards: 69\n%s",
		   method, uri, method, cseq, routes, cseq, method, more);
}

static void test_contact_call_in(void **state)
{
	static const char own[] = "sip:alice-dialog@192.168.1.9:5061;transport=tls;ob";
	struct kit *k = kit_contact();
	char uri[300], routes[700], contact[320];
	struct kit_msg *m;

	(void)state;
	device(k, 1, DESK, 1, uri);
	to_uri(k, "INVITE", uri, "", CT_SDP ANSWER_INSIDE);
	(void)kit_inside_answer(k, 100);
	m = kit_client_request(k, 1, "INVITE");
	ruri_is(m, "sip:alice@192.168.1.9:5061;transport=tls");
	assert_string_equal(kit_hdr(k, m, "Contact"), "<sip:bob@10.0.0.77:5060>");
	(void)snprintf(routes, sizeof(routes), "Route: %s\nRoute: %s\n",
		       kit_hdr_n(k, m, "Record-Route", 1), kit_hdr_n(k, m, "Record-Route", 0));
	/* the client answers with a Contact of its own for this dialog */
	kit_client(k, 1, "%sContact: <%s>;+sip.ice\n" CT_SDP ANSWER_CLIENT,
		   kit_answer(k, m, "200 OK", "a1"), own);
	m = kit_inside_answer(k, 200);
	(void)snprintf(contact, sizeof(contact), "<%s>;+sip.ice", uri);
	assert_string_equal(kit_hdr(k, m, "Contact"), contact);
	in_dialog(k, "ACK", 7, uri, routes, "");
	ruri_is(kit_client_request(k, 1, "ACK"), own);
	in_dialog(k, "INFO", 8, uri, routes, "");
	m = kit_client_request(k, 1, "INFO");
	ruri_is(m, own);
	kit_client(k, 1, "%s", kit_answer(k, m, "200 OK", NULL));
	(void)kit_inside_answer(k, 200);
	/* in a dialog there is a Route, or it is none that is known here */
	in_dialog(k, "INFO", 9, uri, "", "");
	(void)kit_inside_answer(k, 481);
	assert_non_null(strstr(k->logs, "reason=no-route "));
	/* while a new request to the URI, a transferred call's say, finds the device */
	kit_inside(k,
		   "OPTIONS %s SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKop\n"
		   "From: <sip:carol@stand.test>;tag=o\nTo: <%s>\nCall-ID: o\nCSeq: 1 OPTIONS\n"
		   "Max-Forwards: 69\n",
		   uri, uri);
	m = kit_client_request(k, 1, "OPTIONS");
	ruri_is(m, "sip:alice@192.168.1.9:5061;transport=tls");
	kit_client(k, 1, "%sContact: " DESK "\n", kit_answer(k, m, "200 OK", "t"));
	m = kit_inside_answer(k, 200);
	assert_non_null(strstr(kit_hdr(k, m, "Contact"), uri));
	in_dialog(k, "BYE", 10, uri, routes, "");
	m = kit_client_request(k, 1, "BYE");
	ruri_is(m, own);
	kit_client(k, 1, "%s", kit_answer(k, m, "200 OK", NULL));
	(void)kit_inside_answer(k, 200);
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

static void test_contact_call_out(void **state)
{
	struct kit *k = kit_contact();
	char uri[300], routes[700], contact[320];
	struct up u = {.k = k, .out = true};
	struct kit_msg *m;

	(void)state;
	device(k, 1, DESK, 1, uri);
	(void)snprintf(contact, sizeof(contact), "<%s>", uri);
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	ruri_is(m, "sip:bob@stand.test");
	assert_string_equal(kit_hdr(k, m, "Contact"), contact);
	up_routes(&u, m);
	(void)snprintf(routes, sizeof(routes), "Route: %s\nRoute: %s\n", u.route_b, u.route_a);
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE, kit_answer(k, m, "200 OK", "b1"));
	m = kit_client_answer(k, 1, 200);
	assert_string_equal(kit_hdr(k, m, "Contact"), "<sip:bob@10.0.0.77:5060>");
	up_client(&u, 1, "ACK", 1, CONTACT_A);
	m = kit_inside_request(k, "ACK");
	assert_string_equal(kit_hdr(k, m, "Contact"), contact);
	in_dialog(k, "INFO", 8, uri, routes, "");
	m = kit_client_request(k, 1, "INFO");
	ruri_is(m, "sip:alice@192.168.1.9:5061;transport=tls");
	kit_client(k, 1, "%s", kit_answer(k, m, "200 OK", NULL));
	(void)kit_inside_answer(k, 200);
	/* the client has moved: another Contact, the same to the inside; a GRUU is as good as ours */
	up_client(&u, 1, "UPDATE", 3, "Contact: sip:alice@192.168.7.7;x=y\n");
	m = kit_inside_request(k, "UPDATE");
	(void)snprintf(contact, sizeof(contact), "<%s>;x=y", uri);
	assert_string_equal(kit_hdr(k, m, "Contact"), contact);
	kit_inside(k, "%s" CONTACT_B, kit_answer(k, m, "200 OK", NULL));
	(void)kit_client_answer(k, 1, 200);
	in_dialog(k, "INFO", 9, uri, routes, "");
	m = kit_client_request(k, 1, "INFO");
	ruri_is(m, "sip:alice@192.168.7.7");
	kit_client(k, 1, "%s", kit_answer(k, m, "200 OK", NULL));
	(void)kit_inside_answer(k, 200);
	up_client(&u, 1, "INFO", 4, "Contact: <sip:alice@stand.test;gr=urn:uuid:1>, <tel:+49>\n");
	m = kit_inside_request(k, "INFO");
	assert_string_equal(kit_hdr(k, m, "Contact"),
			    "<sip:alice@stand.test;gr=urn:uuid:1>, <tel:+49>");
	kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
	(void)kit_client_answer(k, 1, 200);
	in_dialog(k, "BYE", 10, uri, routes, "");
	m = kit_client_request(k, 1, "BYE");
	ruri_is(m, "sip:alice@192.168.7.7");
	kit_client(k, 1, "%s", kit_answer(k, m, "200 OK", NULL));
	(void)kit_inside_answer(k, 200);
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

/* A redirect names somebody else; nobody there is 480; another server's token is refused; it is no Route. */
static void test_contact_refused(void **state)
{
	struct kit *k = kit_contact();
	char uri[300];
	struct kit_msg *m;

	(void)state;
	device(k, 1, DESK, 1, uri);
	to_uri(k, "INVITE", uri, "", CT_SDP ANSWER_INSIDE);
	(void)kit_inside_answer(k, 100);
	m = kit_client_request(k, 1, "INVITE");
	kit_client(k, 1, "%sContact: <sip:carol@10.9.9.9>\n",
		   kit_answer(k, m, "302 Moved Temporarily", "a1"));
	(void)kit_client_request(k, 1, "ACK");
	m = kit_inside_answer(k, 302);
	assert_string_equal(kit_hdr(k, m, "Contact"), "<sip:carol@10.9.9.9>");
	to_uri(k, "ACK", uri, ";tag=a1", "");
	kit_inside_tcp(k, 9,
		       "MESSAGE %s SIP/2.0\nVia: SIP/2.0/TCP 10.0.0.5;branch=z9hG4bKo\n"
		       "From: <sip:b@other.test>;tag=1\nTo: <sip:a@stand.test>\nCall-ID: o\n"
		       "CSeq: 1 MESSAGE\nMax-Forwards: 70\n",
		       uri);
	(void)kit_inside_answer(k, 403);
	kit_inside(k,
		   "MESSAGE sip:alice@192.168.1.9 SIP/2.0\nVia: SIP/2.0/UDP "
		   "10.0.0.5;branch=z9hG4bKrt\nRoute: <%s;lr>\n"
		   "From: <sip:b@stand.test>;tag=1\nTo: <sip:a@stand.test>\nCall-ID: o\n"
		   "CSeq: 1 MESSAGE\nMax-Forwards: 70\n",
		   uri);
	(void)kit_inside_answer(k, 403);
	engine_stream_closed(k->e, 1, k->now);
	kit_drain(k);
	to_uri(k, "MESSAGE", uri, "", "");
	(void)kit_inside_answer(k, 480);
	kit_time(k, 700000);
	to_uri(k, "MESSAGE", uri, "", "");
	(void)kit_inside_answer(k, 480);
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

/* A subscription: its Contact ours, its NOTIFY to the client's own. */
static void test_contact_subscribe(void **state)
{
	struct kit *k = kit_contact();
	char uri[300], routes[700];
	struct kit_msg *m;

	(void)state;
	device(k, 1, DESK, 1, uri);
	kit_client(k, 1,
		   "SUBSCRIBE sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS a:1;branch=z9hG4bKsu\n"
		   "From: <sip:alice@stand.test>;tag=a1\nTo: <sip:bob@stand.test>\nCall-ID: c1\n"
		   "CSeq: 1 SUBSCRIBE\nMax-Forwards: 70\nEvent: presence\n"
		   "Contact: <sip:sub@192.168.1.9>\n");
	m = kit_inside_request(k, "SUBSCRIBE");
	assert_non_null(strstr(kit_hdr(k, m, "Contact"), uri));
	(void)snprintf(routes, sizeof(routes), "Route: %s\nRoute: %s\n",
		       kit_hdr_n(k, m, "Record-Route", 0), kit_hdr_n(k, m, "Record-Route", 1));
	kit_inside(k, "%s" CONTACT_B "Expires: 60\n", kit_answer(k, m, "200 OK", "b1"));
	(void)kit_client_answer(k, 1, 200);
	in_dialog(k, "NOTIFY", 3, uri, routes,
		  CONTACT_B "Event: presence\nSubscription-State: terminated\n");
	m = kit_client_request(k, 1, "NOTIFY");
	ruri_is(m, "sip:sub@192.168.1.9");
	kit_client(k, 1, "%sContact: <sip:sub@192.168.1.9>\n", kit_answer(k, m, "200 OK", NULL));
	m = kit_inside_answer(k, 200);
	assert_non_null(strstr(kit_hdr(k, m, "Contact"), uri));
	kit_nothing(k);
	kit_settled(k);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contact_register),  cmocka_unit_test(test_contact_unregister),
		cmocka_unit_test(test_contact_take_back), cmocka_unit_test(test_contact_call_in),
		cmocka_unit_test(test_contact_call_out),  cmocka_unit_test(test_contact_refused),
		cmocka_unit_test(test_contact_subscribe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
