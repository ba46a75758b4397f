/* tools/bench_rtpengine.c -- the peer of the media bench: rtpengine in userspace mode, bridging SRTP calls to RTP.
 *
 * In: the lab's lane 2, a number of calls. Out: a fresh rtpengine process with that many calls set up over its NG control protocol, and frames
 * encrypted under each call's key, ready for the generator. The caller stops the process. SDES, AES_CM_128_HMAC_SHA1_80, PCMU. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
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

/* Set up call @i: the client's SRTP offer, the phone's RTP answer. *out_port: where the client sends to. */
static int ng_call(struct ng *g, unsigned i, const char *key_b64, uint16_t *out_port)
{
	struct in_addr client = {.s_addr = htonl(CLIENT_NET + 1 + i)};
	char id[32], ip[INET_ADDRSTRLEN], sdp[768];
	const char *m;
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
	if (err)
		return err;
	snprintf(sdp, sizeof(sdp),
		 "v=0\r\no=- 1 1 IN IP4 " PHONE_IP "\r\ns=-\r\nc=IN IP4 " PHONE_IP
		 "\r\nt=0 0\r\nm=audio %u RTP/AVP 0\r\n"
		 "a=sendrecv\r\n",
		 10000 + 2 * i);
	ng_begin(g);
	ng_pair(g, "ICE", "remove");
	ng_pair(g, "call-id", id);
	ng_pair(g, "command", "answer");
	ng_pair(g, "from-tag", "a");
	ng_list(g, "replace", "origin", NULL);
	ng_pair(g, "sdp", sdp);
	ng_pair(g, "to-tag", "b");
	err = ng_ask(g);
	if (err)
		return err;
	m = strstr(g->answer, "m=audio ");
	if (!m || sscanf(m, "m=audio %hu", out_port) != 1)
		return -EPROTO;
	return 0;
}

/* Frame @k of call @i: RTP under the call's key. */
static int bench_srtp_frame(struct bench_frame *f, const struct lab_lane *lane,
			    struct srtp_session *s, unsigned i, unsigned k, uint16_t port)
{
	uint8_t rtp[256] = {0x80, 0, (uint8_t)((k + 1) >> 8), (uint8_t)(k + 1)};
	struct srtp_packet p = {.session = s, .p = rtp, .n = 172, .cap = sizeof(rtp)};

	rtp[6] = (uint8_t)(k * 160 >> 8);
	rtp[7] = (uint8_t)(k * 160);
	rtp[10] = (uint8_t)(i >> 8);
	rtp[11] = (uint8_t)i;
	memset(rtp + 12, 0xd5, 160);
	srtp_seal(&p, 1);
	if (p.result != SRTP_OK || p.n != BENCH_FRAME_LEN - 42)
		return -EPROTO;
	lab_frame_build(f, lane, CLIENT_NET + 1 + i, CLIENT_PORT, ntohl(inet_addr(PUBLIC_IP)), port,
			rtp);
	return 0;
}

static int bench_rtpengine_calls(struct lab *l, unsigned calls, unsigned per_call)
{
	const struct lab_lane *lane = lab_lane(l, 2);
	static struct ng g;
	unsigned i, k;
	int err;

	g = (struct ng){.fd = -1};
	err = ng_open(&g);
	for (i = 0; !err && i < calls; i++) {
		uint8_t key[30], b64[48];
		struct srtp_session *s;
		uint16_t port;

		for (k = 0; k < sizeof(key); k++)
			key[k] = (uint8_t)(i * 31 + k * 7 + 1);
		EVP_EncodeBlock(b64, key, sizeof(key));
		err = ng_call(&g, i, (const char *)b64, &port);
		if (err)
			break;
		err = srtp_session_new(SRTP_AES_CM_128_HMAC_SHA1_80, span_of(key, sizeof(key)),
				       true, &s);
		for (k = 0; !err && k < per_call; k++)
			err = bench_srtp_frame(&lab_frames(l)[k * calls + i], lane, s, i, k, port);
		srtp_session_free(s);
	}
	if (err)
		fprintf(stderr, "bench: rtpengine call %u: %s; last answer: %.300s\n", i,
			strerror(-err), g.answer);
	if (g.fd >= 0)
		close(g.fd);
	return err;
}

pid_t bench_rtpengine_start(struct lab *l, unsigned calls, unsigned frames_a_call)
{
	int err = lab_enter(l, lab_lane(l, 2));
	cpu_set_t set;
	pid_t pid;

	if (err)
		return err;
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		CPU_ZERO(&set);
		CPU_SET(1, &set);
		sched_setaffinity(0, sizeof(set), &set);
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execlp("rtpengine", "rtpengine", "--config-file=none", "--foreground", "--table=-1",
		       "--num-threads=1", "--interface=pub/" PUBLIC_IP,
		       "--interface=priv/" PRIVATE_IP, "--listen-ng=127.0.0.1:2223",
		       "--port-min=30000", "--port-max=39999", "--log-level=1", "--timeout=600",
		       (char *)NULL);
		_exit(127);
	}
	if (pid < 0)
		return -errno;
	err = bench_rtpengine_calls(l, calls, frames_a_call);
	if (err) {
		bench_rtpengine_stop(pid);
		return err;
	}
	return pid;
}

void bench_rtpengine_stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
