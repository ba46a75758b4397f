/* tools/bench_rtpengine.c -- the peer of the media bench: rtpengine in userspace mode, bridging SRTP calls to RTP.
 *
 * In: the lab's lane 2, a number of calls. Out: a fresh rtpengine process with that many calls set up over its NG control protocol, and frames
 * encrypted under each call's key, ready for the generator. The caller stops the process. SDES, AES_CM_128_HMAC_SHA1_80, PCMU. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "tools/bench_lab.h"
#include "user/srtp.h"

#define NG_PORT	    2223
#define PUBLIC_IP   "172.30.1.1"
#define PRIVATE_IP  "172.30.2.1"
#define CLIENT_NET  0xc6120000u /* 198.18.0.0/16: a client each call */
#define CLIENT_PORT 20000
#define PHONE_IP    "198.20.0.1"
#define PHONE_PORT  10000u
#define ANSWER_MAX  8192

struct ng {
	int fd;
	unsigned cookie;
	char text[4096];
	size_t n;
	char answer[ANSWER_MAX];
};

static void ng_text(struct ng *g, const char *s)
{
	g->n += (size_t)snprintf(g->text + g->n, sizeof(g->text) - g->n, "%zu:%s", strlen(s), s);
}

static void ng_pair(struct ng *g, const char *key, const char *value)
{
	ng_text(g, key);
	ng_text(g, value);
}

static void ng_list(struct ng *g, const char *key, const char *a, const char *b)
{
	ng_text(g, key);
	g->text[g->n++] = 'l';
	ng_text(g, a);
	if (b)
		ng_text(g, b);
	g->text[g->n++] = 'e';
}

static void ng_begin(struct ng *g)
{
	g->n = (size_t)snprintf(g->text, sizeof(g->text), "%u d", ++g->cookie);
}

static int ng_ask(struct ng *g)
{
	unsigned tries;
	ssize_t n;

	g->text[g->n++] = 'e';
	for (tries = 0; tries < 5; tries++) {
		if (send(g->fd, g->text, g->n, 0) < 0 && errno != ECONNREFUSED)
			return -errno;
		n = recv(g->fd, g->answer, sizeof(g->answer) - 1, 0);
		if (n > 0) {
			g->answer[n] = 0;
			return strstr(g->answer, "6:result2:ok") ||
					       strstr(g->answer, "6:result4:pong")
				       ? 0
				       : -EPROTO;
		}
		usleep(200000);
	}
	return -ETIMEDOUT;
}

static int ng_open(struct ng *g)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(NG_PORT)};
	struct timeval tv = {.tv_usec = 300000};

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	g->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (g->fd < 0 || connect(g->fd, (struct sockaddr *)&to, sizeof(to)) ||
	    setsockopt(g->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)))
		return -errno;
	ng_begin(g);
	ng_pair(g, "command", "ping");
	return ng_ask(g);
}

static int ng_port(const struct ng *g, uint16_t *out)
{
	const char *m = strstr(g->answer, "m=audio ");

	return m && sscanf(m, "m=audio %hu", out) == 1 ? 0 : -EPROTO;
}

/* Set up call @i: the client's SRTP offer, the phone's RTP answer. Outputs: where the client and where the phone sends to. */
static int ng_call(struct ng *g, unsigned i, const char *key_b64, uint16_t *out_public,
		   uint16_t *out_private)
{
	struct in_addr client = {.s_addr = htonl(CLIENT_NET + 1 + i)};
	char id[32], ip[INET_ADDRSTRLEN], sdp[768];
	int err;

	inet_ntop(AF_INET, &client, ip, sizeof(ip));
	snprintf(id, sizeof(id), "bench-%u", i);
	snprintf(sdp, sizeof(sdp),
		 "v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/SAVP "
		 "0\r\na=rtcp-mux\r\n"
		 "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s\r\na=sendrecv\r\n",
		 ip, ip, CLIENT_PORT, key_b64);
	ng_begin(g);
	ng_pair(g, "ICE", "remove");
	ng_pair(g, "call-id", id);
	ng_pair(g, "command", "offer");
	ng_list(g, "direction", "pub", "priv");
	ng_pair(g, "from-tag", "a");
	ng_list(g, "replace", "origin", NULL);
	ng_list(g, "rtcp-mux", "demux", NULL);
	ng_pair(g, "sdp", sdp);
	ng_pair(g, "transport-protocol", "RTP/AVP");
	err = ng_ask(g);
	if (!err)
		err = ng_port(g, out_private);
	if (err)
		return err;
	snprintf(sdp, sizeof(sdp),
		 "v=0\r\no=- 1 1 IN IP4 " PHONE_IP "\r\ns=-\r\nc=IN IP4 " PHONE_IP
		 "\r\nt=0 0\r\nm=audio %u RTP/AVP 0\r\n"
		 "a=sendrecv\r\n",
		 PHONE_PORT + 2 * i);
	ng_begin(g);
	ng_pair(g, "ICE", "remove");
	ng_pair(g, "call-id", id);
	ng_pair(g, "command", "answer");
	ng_pair(g, "from-tag", "a");
	ng_list(g, "replace", "origin", NULL);
	ng_pair(g, "sdp", sdp);
	ng_pair(g, "to-tag", "b");
	err = ng_ask(g);
	return err ? err : ng_port(g, out_public);
}

/* Frame @k of call @i: RTP under the call's key. */
static int bench_srtp_frame(struct bench_frame *f, const struct lab_lane *lane,
			    struct srtp_session *s, unsigned i, unsigned k, uint16_t port)
{
	uint8_t rtp[256];
	struct srtp_packet p = {.session = s, .p = rtp, .n = 172, .cap = sizeof(rtp)};

	lab_rtp(rtp, (uint16_t)(k + 1), i);
	srtp_seal(&p, 1);
	if (p.result != SRTP_OK || p.n != BENCH_FRAME_LEN - 42)
		return -EPROTO;
	lab_frame_build(f, lane, CLIENT_NET + 1 + i, CLIENT_PORT, ntohl(inet_addr(PUBLIC_IP)), port,
			rtp);
	return 0;
}

/* Frame @k of the phone's. */
static void bench_rtp_frame(struct bench_frame *f, const struct lab_lane *lane, unsigned i,
			    unsigned k, uint16_t port)
{
	uint8_t rtp[LAB_PAYLOAD];

	lab_rtp(rtp, (uint16_t)(k + 1), i);
	lab_frame_build(f, lane, ntohl(inet_addr(PHONE_IP)), (uint16_t)(PHONE_PORT + 2 * i),
			ntohl(inet_addr(PRIVATE_IP)), port, rtp);
	lab_frame_turn(f, lane);
}

static int bench_rtpengine_frames(struct lab *l, unsigned i, unsigned calls, unsigned per_call,
				  bool both, const uint8_t key[30], const uint16_t port[2])
{
	const struct lab_lane *lane = lab_lane(l, 2);
	struct bench_frame *f = lab_frames(l);
	struct srtp_session *s;
	unsigned k;
	int err = srtp_session_new(SRTP_AES_CM_128_HMAC_SHA1_80, span_of(key, 30), true, &s);

	if (err)
		return err;
	for (k = 0; !err && k < per_call; k++) {
		unsigned at = (k * calls + i) << both;

		err = bench_srtp_frame(&f[at], lane, s, i, k, port[0]);
		if (both)
			bench_rtp_frame(&f[at + 1], lane, i, k, port[1]);
	}
	srtp_session_free(s);
	return err;
}

static int bench_rtpengine_calls(struct lab *l, unsigned calls, unsigned per_call, bool both)
{
	static struct ng g;
	unsigned i, k;
	int err;

	g = (struct ng){.fd = -1};
	err = ng_open(&g);
	for (i = 0; !err && i < calls; i++) {
		uint8_t key[30], b64[48];
		uint16_t port[2];

		for (k = 0; k < sizeof(key); k++)
			key[k] = (uint8_t)(i * 31 + k * 7 + 1);
		EVP_EncodeBlock(b64, key, sizeof(key));
		err = ng_call(&g, i, (const char *)b64, &port[0], &port[1]);
		if (!err)
			err = bench_rtpengine_frames(l, i, calls, per_call, both, key, port);
	}
	if (err)
		fprintf(stderr, "bench: rtpengine call %u: %s; last answer: %.300s\n", i,
			strerror(-err), g.answer);
	if (g.fd >= 0)
		close(g.fd);
	return err;
}

pid_t bench_rtpengine_start(struct lab *l, unsigned calls, unsigned frames_a_call, bool both)
{
	static char *const argv[] = {(char *)"rtpengine",
				     (char *)"--config-file=none",
				     (char *)"--foreground",
				     (char *)"--table=-1",
				     (char *)"--num-threads=1",
				     (char *)"--interface=pub/" PUBLIC_IP,
				     (char *)"--interface=priv/" PRIVATE_IP,
				     (char *)"--listen-ng=127.0.0.1:2223",
				     (char *)"--port-min=30000",
				     (char *)"--port-max=39999",
				     (char *)"--log-level=1",
				     (char *)"--timeout=600",
				     NULL};
	pid_t pid = lab_spawn(l, lab_lane(l, 2), argv, "null", "/dev");
	int err = pid < 0 ? pid : bench_rtpengine_calls(l, calls, frames_a_call, both);

	if (pid > 0 && err)
		bench_rtpengine_stop(pid);
	return err ? err : pid;
}

void bench_rtpengine_stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
