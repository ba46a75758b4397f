/* selftests/unit/call_kit.h -- calls for the tests of the engine: descriptions, INVITEs, a call that is up.
 *
 * In: the engine kit. Out: struct up, with which a test sends requests of either end. alice is the client (stream
 * 1), bob is inside. */
#ifndef SALLYPORT_CALL_KIT_H
#define SALLYPORT_CALL_KIT_H

#include "selftests/unit/engine_kit.h"

#define KEY_CLIENT   "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd" /* 30 bytes 00..1d */
#define SDP_HEAD(ip) "v=0\no=- 1 1 IN IP4 " ip "\ns=-\nc=IN IP4 " ip "\nt=0 0\n"
#define OFFER_CLIENT                                                                     \
	SDP_HEAD("192.168.1.9")                                                          \
	"m=audio 4000 RTP/SAVP 0\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT \
	"\na=rtpmap:0 PCMU/8000\n"
#define ANSWER_INSIDE SDP_HEAD("10.0.0.77") "m=audio 5000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
#define CT_SDP	      "Content-Type: application/sdp\n\n"
#define INVITE_OUT                                                                             \
	"INVITE sip:bob@stand.test SIP/2.0\nVia: SIP/2.0/TLS "                                 \
	"192.168.1.9:5061;branch=z9hG4bKi1;rport\n"                                            \
	"From: <sip:alice@stand.test>;tag=a1\nTo: <sip:bob@stand.test>\nCall-ID: c1\nCSeq: 1 " \
	"INVITE\nMax-Forwards: 70\n"                                                           \
	"Contact: <sip:alice@192.168.1.9:5061;transport=tls>\n"
#define INVITE_IN                                                                    \
	"INVITE sip:alice@192.168.1.9:5061;transport=tls SIP/2.0\nVia: SIP/2.0/UDP " \
	"10.0.0.5;branch=z9hG4bKx1\nRoute: %s\n"                                     \
	"Record-Route: <sip:10.0.0.5;lr>\nFrom: <sip:bob@stand.test>;tag=b1\nTo: "   \
	"<sip:alice@stand.test>\nCall-ID: c1\nCSeq: 7 INVITE\n"                      \
	"Contact: <sip:bob@10.0.0.77:5060>\nMax-Forwards: 69\n"
#define CONTACT_A "Contact: <sip:alice@192.168.1.9:5061;transport=tls>\n"
#define CONTACT_B "Contact: <sip:bob@10.0.0.77:5060>\n"
#define ANSWER_CLIENT           \
	SDP_HEAD("192.168.1.9") \
	"m=audio 4000 RTP/SAVP 0\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT "\n"
#define OFFER_AT(port, dir, key)                                                           \
	"v=0\no=- 1 2 IN IP4 192.168.1.9\ns=-\nc=IN IP4 192.168.1.9\nt=0 0\nm=audio " port \
	" RTP/SAVP 0\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:" key "\na=" dir "\n"

/* One call, outbound or inbound, with what both ends know. */
struct up {
	struct kit *k;
	bool out;
	char route_a[300], route_b[300]; /* edge's, inside's */
	unsigned n;			 /* makes branches */
};

struct kit *kit_alice(void);
void up_routes(struct up *u, const struct kit_msg *m);
void up_client(struct up *u, uint64_t stream, const char *method, unsigned cseq, const char *more);
void up_inside(struct up *u, const char *method, unsigned cseq, const char *more);
struct up up_call(bool out);
void up_end(struct up *u);

#endif
