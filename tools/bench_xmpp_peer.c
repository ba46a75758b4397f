/* tools/bench_xmpp_peer.c -- the two ends of tools/bench xmpp: a chat server that lets everybody in and sends back what it gets, and clients
 * that log in, are idle, and measure how long a message takes there and back.
 *
 *   bench-xmpp serve ADDRESS:PORT CERT KEY            direct TLS
 *   bench-xmpp clients -n N -m MESSAGES -a CA -D DOMAIN ADDRESS:PORT NETNS ADDRESS:PORT NETNS
 *
 * Clients: N on the first address, 20 on the second, each made in its namespace. When all are idle a line of JSON says so, and a line on stdin
 * makes it go on: bursts of messages, one at a time, on the first and on the second address in turn; a line of JSON with the
 * round trips in microseconds. Then it waits for the end of stdin. Owner: everything lives as long as the process. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "user/conn.h"

#define HELD	 2048 /* bytes of what one side says, at most */
#define WINDOW	 48   /* clients that log in at once */
#define DIRECT	 20
#define TALKERS	 20 /* of the first address that send messages */
#define BURST	 50
#define HEAD_END "jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"

static struct loop *loop;
static const char *domain = "corp.example";

static void die(const char *what, int err)
{
	fprintf(stderr, "bench-xmpp: %s: %s\n", what, strerror(err < 0 ? -err : err));
	exit(1);
}

static struct addr address(const char *text)
{
	struct addr a;

	if (addr_parse(span_str(text), &a) || !a.port)
		die(text, EINVAL);
	return a;
}

static char *file(const char *path, size_t *n)
{
	FILE *f = fopen(path, "re");
	char *p = malloc(65536);

	if (!f || !p)
		die(path, errno);
	*n = fread(p, 1, 65536, f);
	fclose(f);
	return p;
}

/* What came and was not used yet; true: @what is in it, and all is used. */
struct heard {
	char *p;
	size_t n;
};

static bool heard_add(struct heard *h, const char *p, size_t n, const char *what)
{
	if (!h->p)
		h->p = calloc(1, HELD);
	if (!h->p || n > HELD - h->n)
		die("too much was said", EMSGSIZE);
	memcpy(h->p + h->n, p, n);
	h->n += n;
	if (!memmem(h->p, h->n, what, strlen(what)))
		return false;
	free(h->p);
	*h = (struct heard){};
	return true;
}

static void say(struct conn *c, const char *text)
{
	if (conn_write(c, span_str(text)))
		die("write", EPIPE);
}

static void nothing(void *arg)
{
	(void)arg;
}

/* ---- the server ---- */

struct guest {
	struct conn *c;
	unsigned step;
	struct heard heard;
};

static void guest_end(struct guest *g)
{
	conn_abort(g->c);
	free(g->heard.p);
	free(g);
}

static void guest_step(struct guest *g, const char *p, size_t n)
{
	static const char head[] =
		"<?xml version='1.0'?><stream:stream from='x' id='1' version='1.0' "
		"xmlns='" HEAD_END ">";
	static const char *const wanted[] = {HEAD_END, "</auth>", HEAD_END};

	if (g->step == 3) {
		conn_write(g->c, span_of(p, n));
		return;
	}
	if (!heard_add(&g->heard, p, n, wanted[g->step]))
		return;
	if (g->step == 1) {
		say(g->c, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
	} else {
		say(g->c, head);
		say(g->c,
		    g->step ? "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
			      "</stream:features>"
			    : "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:"
			      "xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
			      "</stream:features>");
	}
	g->step++;
}

static void guest_readable(void *arg)
{
	struct guest *g = arg;
	char buf[HELD];
	ssize_t n;

	while ((n = conn_read(g->c, buf, sizeof(buf))) > 0)
		guest_step(g, buf, (size_t)n);
	if (n != -EAGAIN)
		guest_end(g);
}

static void guest_down(void *arg, int err, const char *why)
{
	(void)err;
	(void)why;
	guest_end(arg);
}

static const struct conn_ops guest_ops = {
	.up = nothing, .readable = guest_readable, .drained = nothing, .down = guest_down};

static void accepted(void *arg, int fd)
{
	struct guest *g = fd < 0 ? NULL : calloc(1, sizeof(*g));
	struct conn_params p = {.loop = loop,
				.tls = arg,
				.queue_max = 65536,
				.handshake_ms = 20000,
				.ops = &guest_ops,
				.arg = g};

	if (!g || conn_accept(&p, fd, &g->c))
		die("accept", fd < 0 ? fd : ENOMEM);
}

static int serve(char **argv)
{
	struct tls_params tp = {.server = true};
	struct addr at = address(argv[0]);
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sockaddr(&at, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	struct loop_handle h;
	struct tls_ctx *tls;
	char why[TLS_WHY_MAX], *pem;
	size_t len;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&ss, n) || listen(fd, 4096))
		die(argv[0], errno);
	pem = file(argv[1], &len);
	tp.cert_pem = span_of(pem, len);
	pem = file(argv[2], &len);
	tp.key_pem = span_of(pem, len);
	if (tls_ctx_new(&tp, &tls, why))
		die(why, EINVAL);
	if (loop_accept(loop, fd, accepted, tls, &h))
		die("accept", ENOBUFS);
	return loop_run(loop);
}

/* ---- the clients ---- */

struct client {
	struct conn *c;
	unsigned i, step;
	struct heard heard;
	uint64_t sent_ns;
};

struct place {
	struct addr at;
	int ns;
	struct client *clients;
	unsigned n, talkers, begun, idle;
	double *us; /* round trips */
	unsigned n_us;
};

static struct place places[2];
static struct tls_ctx *client_tls;
static unsigned messages = 2000, turn; /* messages in all so far */
static bool talking;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void report(void)
{
	unsigned i;

	printf("{");
	for (i = 0; i < 2; i++) {
		struct place *p = &places[i];

		qsort(p->us, p->n_us, sizeof(*p->us), by_value);
		printf("%s\"%s\": {\"messages\": %u, \"p50_us\": %.1f, \"p99_us\": %.1f, "
		       "\"max_us\": %.1f}",
		       i ? ", " : "", i ? "direct" : "pair", p->n_us, p->us[p->n_us / 2],
		       p->us[p->n_us * 99 / 100], p->us[p->n_us - 1]);
	}
	printf("}\n");
	fflush(stdout);
}

/* The next message: on the two places in turn, a burst each; its clients one after the other. */
static void next_message(void)
{
	struct place *p = &places[turn / BURST % 2];
	struct client *c = &p->clients[turn % p->talkers];

	if (turn == 2 * messages) {
		talking = false;
		report();
		return;
	}
	turn++;
	c->sent_ns = now_ns();
	say(c->c,
	    "<message to='u00001@corp.example' type='chat' id='0123456789abcdef'><body>A message "
	    "of the usual length, as people write them when they talk to each other.</body>"
	    "</message>");
}

static void client_begin(struct place *p);

static void client_step(struct client *c, const char *p, size_t n)
{
	static const char *const wanted[] = {"</stream:features>", "<success", "</stream:features>",
					     "</message>"};
	struct place *at = c >= places[1].clients && c < places[1].clients + places[1].n
				   ? &places[1]
				   : &places[0];
	char head[256];

	if (!heard_add(&c->heard, p, n, wanted[c->step]))
		return;
	if (c->step == 3) {
		at->us[at->n_us++] = (double)(now_ns() - c->sent_ns) / 1000;
		next_message();
		return;
	}
	snprintf(head, sizeof(head),
		 "<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='" HEAD_END ">",
		 domain);
	if (c->step == 0)
		say(c->c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>"
			  "AGFsaWNlAHB3</auth>");
	else if (c->step == 1)
		say(c->c, head);
	if (++c->step != 3)
		return;
	at->idle++;
	client_begin(at);
	if (places[0].idle == places[0].n && places[1].idle == places[1].n) {
		printf("{\"idle\": %u, \"direct\": %u}\n", places[0].n, places[1].n);
		fflush(stdout);
	}
}

static void client_readable(void *arg)
{
	struct client *c = arg;
	char buf[HELD];
	ssize_t n;

	while ((n = conn_read(c->c, buf, sizeof(buf))) > 0)
		client_step(c, buf, (size_t)n);
	if (n != -EAGAIN)
		die("a client's connection ended", n ? (int)n : ECONNRESET);
}

static void client_down(void *arg, int err, const char *why)
{
	(void)arg;
	die(why, err);
}

static void client_up(void *arg)
{
	struct client *c = arg;
	char head[256];

	snprintf(head, sizeof(head),
		 "<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='" HEAD_END ">",
		 domain);
	say(c->c, head);
}

static const struct conn_ops client_ops = {
	.up = client_up, .readable = client_readable, .drained = nothing, .down = client_down};

static void client_begin(struct place *p)
{
	struct client *c = &p->clients[p->begun];
	struct conn_params cp = {.loop = loop,
				 .tls = client_tls,
				 .peer_name = domain,
				 .queue_max = 65536,
				 .handshake_ms = 20000,
				 .ops = &client_ops,
				 .arg = c};
	int err;

	if (p->begun == p->n)
		return;
	c->i = p->begun++;
	if (setns(p->ns, CLONE_NEWNET))
		die("setns", errno);
	err = conn_connect(&cp, &p->at, &c->c);
	if (err)
		die("connect", err);
}

static void command(void *arg, int revents)
{
	static char buf[256];
	struct loop_handle *h = arg;

	if (revents < 0 || read(0, buf, sizeof(buf)) <= 0)
		exit(0);
	if (!talking) {
		talking = true;
		next_message();
	}
	loop_poll(loop, 0, POLLIN, false, command, h, h);
}

static int clients(int argc, char **argv)
{
	static struct loop_handle in;
	struct tls_params tp = {.alpn = "xmpp-client"};
	char why[TLS_WHY_MAX], *pem;
	unsigned i, j, n = 100;
	size_t len;
	int c;

	while ((c = getopt(argc, argv, "n:m:a:D:")) != -1) {
		if (c == 'n')
			n = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'm')
			messages = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'D')
			domain = optarg;
		else if (c == 'a')
			pem = file(optarg, &len), tp.ca_pem = span_of(pem, len);
		else
			return 2;
	}
	if (argc - optind != 4 || !n || !tp.ca_pem.n)
		return 2;
	messages -= messages % BURST;
	if (tls_ctx_new(&tp, &client_tls, why))
		die(why, EINVAL);
	for (i = 0; i < 2; i++) {
		struct place *p = &places[i];

		p->at = address(argv[optind + 2 * i]);
		p->ns = open(argv[optind + 2 * i + 1], O_RDONLY | O_CLOEXEC);
		p->n = i ? DIRECT : n;
		p->talkers = p->n < TALKERS ? p->n : TALKERS;
		p->clients = calloc(p->n, sizeof(*p->clients));
		p->us = calloc(messages + 1, sizeof(*p->us));
		if (p->ns < 0 || !p->clients || !p->us)
			die(argv[optind + 2 * i + 1], errno);
		for (j = 0; j < WINDOW; j++)
			client_begin(p);
	}
	loop_poll(loop, 0, POLLIN, false, command, &in, &in);
	return loop_run(loop);
}

int main(int argc, char **argv)
{
	struct loop_params lp = {.entries = 1024, .ops_max = 40000};
	struct rlimit files;
	int err;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	err = loop_new(&lp, &loop);
	if (err)
		die("io_uring", err);
	if (argc == 5 && strcmp(argv[1], "serve") == 0)
		return serve(argv + 2) ? 1 : 0;
	if (argc > 2 && strcmp(argv[1], "clients") == 0)
		err = clients(argc - 1, argv + 1);
	else
		err = 2;
	if (err == 2)
		fprintf(stderr, "usage: see the head of tools/bench_xmpp_peer.c\n");
	return err;
}
