/* selftests/net/rtptool.c -- one end of a call's media: sends a PCMU tone every 20 ms, counts and judges what comes back.
 *
 *   rtptool --local A:P [--to A:P] --seconds N [--tone HZ] [--linger MS] [--pt N] [--rtcp MS] [--silent] <keys
 *
 * In: on stdin, `tx SUITE BASE64` and `rx SUITE BASE64` lines until end of file; a direction without a key is plain RTP. Out: one
 * JSON object when the time is over or at SIGTERM: packets sent, received, lost (holes in the sequence numbers), duplicate,
 * not authentic, longest silence between two packets, dominant tone, RTCP sent and received. --rtcp: a sender report every MS, to the
 * same address; --silent: no tone, so that with --rtcp it is the RTCP port of a leg without rtcp-mux.
 * Owns one socket; libsrtp2 does the cryptography. */
#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "selftests/net/srtpkit.h"

#define PTIME_NS  20000000ull
#define SAMPLES	  160
#define SSRCS_MAX 8

struct source { /* one SSRC that we hear */
	uint32_t ssrc;
	uint64_t received, duplicates;
	uint16_t top;
	uint64_t first, last; /* extended sequence numbers */
	uint8_t seen[1 << 16];
	struct kit_meter meter;
};

struct tool {
	int fd;
	bool send, silent, have_rx, have_tx;
	struct sockaddr_storage to;
	socklen_t to_n;
	srtp_t tx, rx;
	unsigned seconds, tone, linger_ms, pt, rtcp_ms;
	uint16_t seq;
	uint32_t stamp, ssrc;
	uint64_t rtcp_sent, rtcp_received, rtcp_next_ns;
	uint64_t sent, send_errors, not_authentic, replayed, other, last_ns, max_gap_ns;
	struct source sources[SSRCS_MAX];
	unsigned n_sources;
	double phase;
};

static volatile sig_atomic_t stopped;
static void on_term(int s)
{
	(void)s;
	stopped = 1;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "rtptool: %s\n", what);
	exit(2);
}

static void send_one(struct tool *t)
{
	uint8_t p[12 + SAMPLES + SRTP_MAX_TRAILER_LEN] = {0x80, (uint8_t)t->pt};
	uint32_t be;
	int i, n = 12 + SAMPLES;

	p[2] = (uint8_t)(t->seq >> 8);
	p[3] = (uint8_t)t->seq;
	be = htonl(t->stamp);
	memcpy(p + 4, &be, 4);
	be = htonl(t->ssrc);
	memcpy(p + 8, &be, 4);
	for (i = 0; i < SAMPLES; i++) {
		p[12 + i] = kit_ulaw((int16_t)(8000 * sin(t->phase)));
		t->phase = fmod(t->phase + 2 * M_PI * t->tone / 8000, 2 * M_PI);
	}
	t->seq++;
	t->stamp += SAMPLES;
	if (t->have_tx && srtp_protect(t->tx, p, &n) != srtp_err_status_ok)
		die("srtp_protect failed");
	if (sendto(t->fd, p, (size_t)n, 0, (struct sockaddr *)&t->to, t->to_n) == n)
		t->sent++;
	else
		t->send_errors++;
}

/* RFC 3550 section 6.4.1: a sender report without report blocks. */
static void send_report(struct tool *t)
{
	uint8_t p[28 + SRTP_MAX_TRAILER_LEN + 4] = {0x80, 200, 0, 6};
	uint32_t be = htonl(t->ssrc);
	int n = 28;

	memcpy(p + 4, &be, 4);
	if (t->have_tx && srtp_protect_rtcp(t->tx, p, &n) != srtp_err_status_ok)
		die("srtp_protect_rtcp failed");
	if (sendto(t->fd, p, (size_t)n, 0, (struct sockaddr *)&t->to, t->to_n) == n)
		t->rtcp_sent++;
	else
		t->send_errors++;
}

static void heard_rtcp(struct tool *t, uint8_t *p, int n)
{
	if (t->have_rx && srtp_unprotect_rtcp(t->rx, p, &n) != srtp_err_status_ok)
		t->not_authentic++;
	else if (n >= 28 && p[1] == 200)
		t->rtcp_received++;
	else
		t->other++;
}

static struct source *source_of(struct tool *t, uint32_t ssrc)
{
	struct source *s;
	unsigned i;

	for (i = 0; i < t->n_sources; i++)
		if (t->sources[i].ssrc == ssrc)
			return &t->sources[i];
	if (t->n_sources == SSRCS_MAX)
		return NULL;
	s = &t->sources[t->n_sources++];
	s->ssrc = ssrc;
	return s;
}

static void count(struct source *s, uint16_t seq)
{
	uint64_t ext;

	if (!s->received) {
		s->first = s->last = 65536u + seq;
		ext = s->first;
	} else {
		ext = s->last + (uint64_t)(int64_t)(int16_t)(seq - (uint16_t)s->last);
	}
	if (s->seen[seq] && ext <= s->last) {
		s->duplicates++;
		return;
	}
	s->seen[seq] = 1;
	s->seen[(uint16_t)(seq + 32768)] = 0;
	s->received++;
	if (ext > s->last)
		s->last = ext;
	if (ext < s->first)
		s->first = ext;
}

static void heard(struct tool *t, uint8_t *p, int n)
{
	srtp_err_status_t e;
	struct source *s;
	uint32_t ssrc;
	uint64_t now;
	size_t h;

	if (n >= 8 && p[0] >> 6 == 2 && p[1] >= 192 && p[1] <= 223) { /* RFC 5761 section 4 */
		heard_rtcp(t, p, n);
		return;
	}
	if (!kit_rtp_header(p, (size_t)n)) {
		t->other++;
		return;
	}
	if (t->have_rx) {
		e = srtp_unprotect(t->rx, p, &n);
		if (e == srtp_err_status_replay_fail || e == srtp_err_status_replay_old)
			t->replayed++;
		else if (e != srtp_err_status_ok)
			t->not_authentic++;
		if (e != srtp_err_status_ok)
			return;
	}
	h = kit_rtp_header(p, (size_t)n);
	memcpy(&ssrc, p + 8, 4);
	s = source_of(t, ntohl(ssrc));
	if (!s || !h)
		return;
	now = now_ns();
	if (t->last_ns && now - t->last_ns > t->max_gap_ns)
		t->max_gap_ns = now - t->last_ns;
	t->last_ns = now;
	count(s, (uint16_t)(p[2] << 8 | p[3]));
	kit_meter_add(&s->meter, p + h, (size_t)n - h);
}

static void read_all(struct tool *t)
{
	uint8_t p[2048];
	ssize_t n;

	while ((n = recv(t->fd, p, sizeof(p), MSG_DONTWAIT)) > 0)
		heard(t, p, (int)n);
}

static void run(struct tool *t)
{
	uint64_t start = now_ns(), next = start, end = start + t->seconds * 1000000000ull;
	uint64_t linger_end = end + t->linger_ms * 1000000ull;
	struct pollfd pf = {.fd = t->fd, .events = POLLIN};

	while (!stopped) {
		uint64_t now = now_ns();
		int wait = 20;

		if (now >= linger_end)
			break;
		if (t->send && now < end) {
			if (t->rtcp_ms && now >= t->rtcp_next_ns) {
				send_report(t);
				t->rtcp_next_ns = now + t->rtcp_ms * 1000000ull;
			}
			if (now >= next) {
				if (!t->silent)
					send_one(t);
				next += PTIME_NS;
				continue;
			}
			wait = (int)((next - now) / 1000000) + 1;
		}
		if (poll(&pf, 1, wait) > 0)
			read_all(t);
	}
	read_all(t);
}

static void report(struct tool *t)
{
	struct source *s = &t->sources[0];
	double seconds;
	unsigned i, hz;

	for (i = 1; i < t->n_sources; i++)
		if (t->sources[i].received > s->received)
			s = &t->sources[i];
	hz = kit_meter_hz(&s->meter, &seconds);
	printf("{\"sent\":%" PRIu64 ",\"send_errors\":%" PRIu64 ",\"received\":%" PRIu64
	       ",\"lost\":%" PRIu64 ",\"duplicates\":%" PRIu64 ",\"replayed\":%" PRIu64
	       ",\"not_authentic\":%" PRIu64 ",\"other\":%" PRIu64
	       ",\"ssrcs\":%u,\"max_gap_ms\":%" PRIu64
	       ",\"first_seq\":%u,\"last_seq\":%u,\"tone_hz\":%u,\"tone_seconds\":%.2f"
	       ",\"rtcp_sent\":%" PRIu64 ",\"rtcp_received\":%" PRIu64 "}\n",
	       t->sent, t->send_errors, s->received,
	       s->received ? s->last - s->first + 1 - s->received : 0, s->duplicates, t->replayed,
	       t->not_authentic, t->other, t->n_sources, t->max_gap_ns / 1000000,
	       (unsigned)(uint16_t)s->first, (unsigned)(uint16_t)s->last, hz, seconds, t->rtcp_sent,
	       t->rtcp_received);
}

static void read_keys(struct tool *t)
{
	char line[256], way[8], suite[32], b64[80];
	struct kit_key k;

	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%7s %31s %79s", way, suite, b64) != 3 ||
		    kit_key_parse(suite, b64, &k))
			die("a key line is `tx|rx SUITE BASE64`");
		if (!strcmp(way, "tx"))
			t->have_tx = !kit_session(&k, false, &t->tx);
		else
			t->have_rx = !kit_session(&k, true, &t->rx);
	}
}

static void options(struct tool *t, int argc, char **argv)
{
	static const struct option o[] = {
		{"local", 1, NULL, 'l'}, {"to", 1, NULL, 't'},	   {"seconds", 1, NULL, 's'},
		{"tone", 1, NULL, 'z'},	 {"linger", 1, NULL, 'g'}, {"pt", 1, NULL, 'p'},
		{"rtcp", 1, NULL, 'r'},	 {"silent", 0, NULL, 'q'}, {NULL, 0, NULL, 0},
	};
	struct sockaddr_storage local = {.ss_family = AF_INET};
	socklen_t local_n = sizeof(struct sockaddr_in);
	int c, size = 1 << 20;

	while ((c = getopt_long(argc, argv, "", o, NULL)) != -1) {
		if ((c == 'l' && kit_addr(optarg, &local, &local_n)) ||
		    (c == 't' && kit_addr(optarg, &t->to, &t->to_n)) || c == '?')
			die("usage: --local A:P [--to A:P] --seconds N [--tone HZ] [--linger MS] "
			    "[--pt N] [--rtcp MS] [--silent]");
		t->send |= c == 't';
		t->silent |= c == 'q';
		if (c == 'r')
			t->rtcp_ms = (unsigned)atoi(optarg);
		if (c == 's')
			t->seconds = (unsigned)atoi(optarg);
		if (c == 'z')
			t->tone = (unsigned)atoi(optarg);
		if (c == 'g')
			t->linger_ms = (unsigned)atoi(optarg);
		if (c == 'p')
			t->pt = (unsigned)atoi(optarg) & 127;
	}
	t->fd = socket(local.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (t->fd < 0 || bind(t->fd, (struct sockaddr *)&local, local_n))
		die("cannot bind the local address");
	setsockopt(t->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

int main(int argc, char **argv)
{
	static struct tool t = {.seconds = 5, .tone = 600, .linger_ms = 200};
	struct sigaction sa = {.sa_handler = on_term};

	if (srtp_init() != srtp_err_status_ok)
		die("libsrtp2 does not start");
	options(&t, argc, argv);
	t.ssrc = (uint32_t)now_ns() ^ (uint32_t)getpid() << 16;
	t.seq = (uint16_t)(t.ssrc %
			   30000); /* below 2^15: the receiver's rollover counter begins at 0 (RFC 3711 3.3.1) */
	sigaction(SIGTERM, &sa, NULL);
	read_keys(&t);
	run(&t);
	report(&t);
	close(t.fd);
	return 0;
}
