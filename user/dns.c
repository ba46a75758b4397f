/* user/dns.c -- SRV and address look-ups over c-ares. See dns.h. Only ares_query() is used: it opens no files, so it works
 * behind the sandbox; the resolver's configuration is read in dns_new(). */
#include "user/dns.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define DNS_NAME_MAX	  253
#define DNS_QUESTIONS_MAX 64
#define DNS_SOCKS	  ARES_GETSOCK_MAXNUM
#define DNS_TTL_MIN	  5
#define DNS_TTL_MAX	  300

struct dns_sock {
	ares_socket_t fd;
	short events;
	struct loop_handle op;
	struct dns *dns;
};

struct dns {
	struct loop *loop;
	ares_channel channel;
	struct dns_sock socks[DNS_SOCKS];
	struct loop_timer timer, later_timer;
	struct dns_question *later; /* not asked yet */
	unsigned open;
};

struct dns_host {
	char host[DNS_NAME_MAX + 1];
	uint16_t port, priority, weight;
	struct addr addrs[4];
	unsigned n_addrs;
};

/* One dns_service() call: freed when its last query answered and @fn was called. */
struct dns_question {
	struct dns *dns;
	dns_fn *fn;
	void *arg;
	char name[DNS_NAME_MAX + 1];
	uint16_t default_port;
	struct dns_host targets[DNS_TARGETS_MAX];
	unsigned n_targets, pending;
	unsigned ttl;
	int err;
	struct dns_question *next; /* in dns.later */
};

struct dns_address_query {
	struct dns_question *q;
	unsigned target;
	int family;
};

static void dns_rearm(struct dns *d);

static int dns_errno(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return 0;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
		return -ENOENT;
	case ARES_ETIMEOUT:
		return -ETIMEDOUT;
	case ARES_ECANCELLED:
	case ARES_EDESTRUCTION:
		return -ECANCELED;
	default:
		return -EIO;
	}
}

static void dns_ttl(struct dns_question *q, unsigned ttl)
{
	if (ttl < q->ttl)
		q->ttl = ttl;
	if (q->ttl < DNS_TTL_MIN)
		q->ttl = DNS_TTL_MIN;
}

static int dns_by_priority(const void *a, const void *b)
{
	return (int)((const struct dns_host *)a)->priority -
	       (int)((const struct dns_host *)b)->priority;
}

static void dns_finish(struct dns_question *q)
{
	struct dns_target out[DNS_TARGETS_MAX];
	unsigned i, j, n = 0;

	if (q->pending)
		return;
	for (i = 0; i < q->n_targets; i++)
		for (j = 0; j < q->targets[i].n_addrs && n < DNS_TARGETS_MAX; j++) {
			out[n] = (struct dns_target){.addr = q->targets[i].addrs[j],
						     .priority = q->targets[i].priority,
						     .weight = j ? 0 : q->targets[i].weight};
			out[n++].addr.port = q->targets[i].port;
		}
	q->dns->open--;
	q->fn(q->arg, n ? 0 : (q->err ? q->err : -ENOENT), out, n, q->ttl);
	free(q);
}

static void dns_address_add(struct dns_host *t, int family, const void *ip)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	if (t->n_addrs == sizeof(t->addrs) / sizeof(t->addrs[0]))
		return;
	if (family == AF_INET) {
		memcpy(&in.sin_addr, ip, sizeof(in.sin_addr));
		addr_from_sockaddr((const struct sockaddr *)&in, &t->addrs[t->n_addrs++]);
	} else {
		memcpy(&in6.sin6_addr, ip, sizeof(in6.sin6_addr));
		addr_from_sockaddr((const struct sockaddr *)&in6, &t->addrs[t->n_addrs++]);
	}
}

static void dns_on_address(void *arg, int status, int timeouts, unsigned char *abuf, int alen)
{
	struct dns_address_query *aq = arg;
	struct dns_question *q = aq->q;
	struct dns_host *t = &q->targets[aq->target];
	struct ares_addrttl v4[4];
	struct ares_addr6ttl v6[4];
	int n = 4, i;

	(void)timeouts;
	if (status == ARES_SUCCESS && aq->family == AF_INET)
		status = ares_parse_a_reply(abuf, alen, NULL, v4, &n);
	else if (status == ARES_SUCCESS)
		status = ares_parse_aaaa_reply(abuf, alen, NULL, v6, &n);
	for (i = 0; status == ARES_SUCCESS && i < n; i++) {
		if (aq->family == AF_INET)
			dns_address_add(t, AF_INET, &v4[i].ipaddr);
		else
			dns_address_add(t, AF_INET6, &v6[i].ip6addr);
		dns_ttl(q, (unsigned)(aq->family == AF_INET ? v4[i].ttl : v6[i].ttl));
	}
	if (status != ARES_SUCCESS && dns_errno(status) != -ENOENT)
		q->err = dns_errno(status);
	free(aq);
	q->pending--;
	dns_finish(q);
}

static void dns_ask_address(struct dns_question *q, unsigned target, int family)
{
	struct dns_address_query *aq = calloc(1, sizeof(*aq));

	if (!aq) {
		q->err = -ENOMEM;
		return;
	}
	*aq = (struct dns_address_query){.q = q, .target = target, .family = family};
	q->pending++;
	ares_query(q->dns->channel, q->targets[target].host, ns_c_in,
		   family == AF_INET ? ns_t_a : ns_t_aaaa, dns_on_address, aq);
}

/* All targets' addresses; one extra pending keeps the question alive while they are asked. */
static void dns_ask_targets(struct dns_question *q)
{
	unsigned i;

	q->pending++;
	for (i = 0; i < q->n_targets; i++) {
		struct addr literal;

		if (addr_parse(span_str(q->targets[i].host), &literal) == 0) {
			q->targets[i].addrs[q->targets[i].n_addrs++] = literal;
			continue;
		}
		dns_ask_address(q, i, AF_INET);
		dns_ask_address(q, i, AF_INET6);
	}
	q->pending--;
	dns_finish(q);
}

/* The question's own name is its only target. */
static void dns_ask_name(struct dns_question *q)
{
	span_copy(span_str(q->name), q->targets[0].host, sizeof(q->targets[0].host));
	q->targets[0].port = q->default_port;
	q->n_targets = 1;
}

static void dns_on_srv(void *arg, int status, int timeouts, unsigned char *abuf, int alen)
{
	struct dns_question *q = arg;
	struct ares_srv_reply *reply = NULL, *r;

	(void)timeouts;
	q->pending--;
	if (status == ARES_SUCCESS)
		status = ares_parse_srv_reply(abuf, alen, &reply);
	for (r = reply; status == ARES_SUCCESS && r && q->n_targets < DNS_TARGETS_MAX;
	     r = r->next) {
		struct dns_host *t = &q->targets[q->n_targets];

		if (span_copy(span_str(r->host), t->host, sizeof(t->host)) <= 0)
			continue; /* "." or empty: the service is not offered there (RFC 2782) */
		t->port = r->port;
		t->priority = r->priority;
		t->weight = r->weight;
		q->n_targets++;
	}
	if (reply)
		ares_free_data(reply);
	if (dns_errno(status) == -ENOENT) {
		dns_ask_name(q);
	} else if (status != ARES_SUCCESS) {
		q->err = dns_errno(status);
	}
	qsort(q->targets, q->n_targets, sizeof(q->targets[0]), dns_by_priority);
	dns_ask_targets(q);
}

static int dns_ask(struct dns *d, const char *name, uint16_t port, dns_fn *fn, void *arg,
		   struct dns_question **out)
{
	struct dns_question *q;

	if (strlen(name) > DNS_NAME_MAX)
		return -EINVAL;
	if (d->open >= DNS_QUESTIONS_MAX)
		return -EBUSY;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->dns = d;
	q->fn = fn;
	q->arg = arg;
	q->default_port = port;
	q->pending = 1;
	q->ttl = DNS_TTL_MAX;
	snprintf(q->name, sizeof(q->name), "%s", name);
	d->open++;
	*out = q;
	return 0;
}

static void dns_on_later(void *arg)
{
	struct dns *d = arg;

	while (d->later) {
		struct dns_question *q = d->later;

		d->later = q->next;
		q->pending--;
		dns_ask_name(q);
		dns_ask_targets(q);
	}
	dns_rearm(d);
}

/* From the loop: c-ares answers at once what it cannot even send. */
static void dns_ask_later(struct dns *d, struct dns_question *q)
{
	q->next = d->later;
	d->later = q;
	loop_timer_set(d->loop, &d->later_timer, 0);
}

int dns_host(struct dns *d, const char *name, uint16_t port, dns_fn *fn, void *arg)
{
	struct dns_question *q;
	int err = dns_ask(d, name, port, fn, arg, &q);

	if (!err)
		dns_ask_later(d, q);
	return err;
}

int dns_service(struct dns *d, const char *service, const char *name, uint16_t default_port,
		dns_fn *fn, void *arg)
{
	char full[DNS_NAME_MAX + 32];
	struct dns_question *q;
	int err;

	if (strlen(service) > 30)
		return -EINVAL;
	err = dns_ask(d, name, default_port, fn, arg, &q);
	if (err)
		return err;
	snprintf(full, sizeof(full), "%s.%s", service, name);
	ares_query(d->channel, full, ns_c_in, ns_t_srv, dns_on_srv, q);
	dns_rearm(d);
	return 0;
}

/* ---- SRV records alone ---------------------------------------------------------------------------------------------- */

struct dns_srv_question {
	struct dns *dns;
	dns_srv_fn *fn;
	void *arg;
};

/* The smallest time to live of an answer's records; c-ares does not tell it for SRV (RFC 1035 4.1). */
static unsigned dns_answer_ttl(const unsigned char *buf, int len)
{
	unsigned questions = (unsigned)(buf[4] << 8 | buf[5]),
		 answers = (unsigned)(buf[6] << 8 | buf[7]);
	unsigned ttl = DNS_TTL_MAX, one;
	const unsigned char *p = buf + NS_HFIXEDSZ, *end = buf + len;
	char *name;
	long n;

	for (; questions + answers && p < end; questions ? questions-- : answers--) {
		if (ares_expand_name(p, buf, len, &name, &n) != ARES_SUCCESS)
			break;
		ares_free_string(name);
		p += n;
		if (questions) {
			p += NS_QFIXEDSZ;
			continue;
		}
		if (end - p < NS_RRFIXEDSZ)
			break;
		one = (unsigned)p[4] << 24 | (unsigned)p[5] << 16 | (unsigned)p[6] << 8 | p[7];
		ttl = one < ttl ? one : ttl;
		p += NS_RRFIXEDSZ + (p[8] << 8 | p[9]);
	}
	return ttl < DNS_TTL_MIN ? DNS_TTL_MIN : ttl;
}

static int dns_srv_by_priority(const void *a, const void *b)
{
	return (int)((const struct dns_srv *)a)->priority -
	       (int)((const struct dns_srv *)b)->priority;
}

static void dns_on_srv_alone(void *arg, int status, int timeouts, unsigned char *abuf, int alen)
{
	struct dns_srv_question *q = arg;
	struct dns_srv out[DNS_TARGETS_MAX];
	struct ares_srv_reply *reply = NULL, *r;
	unsigned n = 0;

	(void)timeouts;
	if (status == ARES_SUCCESS)
		status = ares_parse_srv_reply(abuf, alen, &reply);
	for (r = reply; r && n < DNS_TARGETS_MAX; r = r->next) {
		if (span_copy(span_str(r->host), out[n].host, sizeof(out[n].host)) <= 0)
			continue;
		out[n].port = r->port;
		out[n].priority = r->priority;
		out[n++].weight = r->weight;
	}
	if (reply)
		ares_free_data(reply);
	qsort(out, n, sizeof(out[0]), dns_srv_by_priority);
	q->dns->open--;
	q->fn(q->arg, status == ARES_SUCCESS && !n ? -ENOENT : dns_errno(status), out, n,
	      status == ARES_SUCCESS ? dns_answer_ttl(abuf, alen) : DNS_TTL_MIN);
	free(q);
}

int dns_srv(struct dns *d, const char *name, dns_srv_fn *fn, void *arg)
{
	struct dns_srv_question *q;

	if (strlen(name) > DNS_NAME_MAX)
		return -EINVAL;
	if (d->open >= DNS_QUESTIONS_MAX)
		return -EBUSY;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	*q = (struct dns_srv_question){.dns = d, .fn = fn, .arg = arg};
	d->open++;
	ares_query(d->channel, name, ns_c_in, ns_t_srv, dns_on_srv_alone, q);
	dns_rearm(d);
	return 0;
}

/* ---- c-ares on the loop -------------------------------------------------------------------------------------------- */

static void dns_on_poll(void *arg, int revents)
{
	struct dns_sock *s = arg;
	struct dns *d = s->dns;
	ares_socket_t fd = s->fd;

	s->op = (struct loop_handle){0, 0};
	s->events = 0;
	ares_process_fd(d->channel,
			revents < 0 || (revents & (POLLIN | POLLERR | POLLHUP)) ? fd
										: ARES_SOCKET_BAD,
			revents > 0 && (revents & POLLOUT) ? fd : ARES_SOCKET_BAD);
	dns_rearm(d);
}

static void dns_on_timer(void *arg)
{
	struct dns *d = arg;

	ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	dns_rearm(d);
}

/* The bits of ares_getsock(); its own macros shift a signed one into the sign bit. */
static short dns_wanted(unsigned mask, unsigned i)
{
	return (short)((mask >> i & 1 ? POLLIN : 0) |
		       (mask >> (i + ARES_GETSOCK_MAXNUM) & 1 ? POLLOUT : 0));
}

/* c-ares tells its sockets anew after each step; single-shot polls follow that without bookkeeping of our own. */
static void dns_rearm(struct dns *d)
{
	ares_socket_t fds[DNS_SOCKS];
	unsigned mask = (unsigned)ares_getsock(d->channel, fds, DNS_SOCKS), i;
	struct timeval tv, *left;

	for (i = 0; i < DNS_SOCKS; i++) {
		struct dns_sock *s = &d->socks[i];
		short want = dns_wanted(mask, i);

		if (s->events && (want != s->events || s->fd != fds[i])) {
			loop_cancel(d->loop, &s->op);
			s->events = 0;
		}
		if (!want || s->events)
			continue;
		s->fd = fds[i];
		s->events = want;
		if (loop_poll(d->loop, s->fd, want, false, dns_on_poll, s, &s->op))
			s->events = 0; /* no slot: the timer below still drives time-outs */
	}
	left = ares_timeout(d->channel, NULL, &tv);
	if (left)
		loop_timer_set(d->loop, &d->timer,
			       (uint64_t)left->tv_sec * 1000 + (uint64_t)left->tv_usec / 1000 + 1);
	else
		loop_timer_cancel(d->loop, &d->timer);
}

int dns_new(struct loop *l, const char *server, struct dns **out)
{
	struct ares_options opt = {.timeout = 3000, .tries = 2};
	struct dns *d = calloc(1, sizeof(*d));
	unsigned i;

	if (!d)
		return -ENOMEM;
	d->loop = l;
	d->timer = (struct loop_timer){.fn = dns_on_timer, .arg = d};
	d->later_timer = (struct loop_timer){.fn = dns_on_later, .arg = d};
	for (i = 0; i < DNS_SOCKS; i++)
		d->socks[i].dns = d;
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
	    ares_init_options(&d->channel, &opt, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES) !=
		    ARES_SUCCESS) {
		free(d);
		return -EIO;
	}
	if (server && ares_set_servers_ports_csv(d->channel, server) != ARES_SUCCESS) {
		ares_destroy(d->channel);
		free(d);
		return -EINVAL;
	}
	*out = d;
	return 0;
}

void dns_free(struct dns *d)
{
	unsigned i;

	if (!d)
		return;
	for (i = 0; i < DNS_SOCKS; i++)
		loop_cancel(d->loop, &d->socks[i].op);
	loop_timer_cancel(d->loop, &d->timer);
	loop_timer_cancel(d->loop, &d->later_timer);
	while (d->later) {
		struct dns_question *q = d->later;

		d->later = q->next;
		q->fn(q->arg, -ECANCELED, NULL, 0, DNS_TTL_MIN);
		free(q);
	}
	ares_destroy(d->channel);
	ares_library_cleanup();
	free(d);
}
