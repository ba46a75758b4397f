/* tools/host_choice.c -- see host_choice.h. In: addresses, wishes. Out: a choice, or the question to the operator. */
#include "tools/host_choice.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_private(const struct addr *a)
{
	const uint8_t *p = a->ip;

	if (!addr_is_v4(a))
		return (p[0] & 0xfe) == 0xfc;
	p += 12;
	return p[0] == 10 || (p[0] == 172 && (p[1] & 0xf0) == 16) || (p[0] == 192 && p[1] == 168) ||
	       (p[0] == 100 && (p[1] & 0xc0) == 64);
}

static bool is_link_local(const struct addr *a)
{
	const uint8_t *p = a->ip;

	return addr_is_v4(a) ? p[12] == 169 && p[13] == 254 : p[0] == 0xfe && (p[1] & 0xc0) == 0x80;
}

int host_source(const struct addr *to, struct addr *out)
{
	struct addr far = *to;
	struct sockaddr_storage ss;
	socklen_t len, n = sizeof(ss);
	int fd = socket(addr_is_v4(to) ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	if (!far.port)
		far.port = 9;
	len = addr_to_sockaddr(&far, &ss);
	/* UDP: nothing is sent, only the route is looked up. */
	if (connect(fd, (struct sockaddr *)&ss, len) || getsockname(fd, (struct sockaddr *)&ss, &n))
		err = -errno;
	close(fd);
	if (!err)
		err = addr_from_sockaddr((struct sockaddr *)&ss, out);
	out->port = 0;
	return err;
}

unsigned host_list(struct host_addr out[HOST_ADDRS_MAX])
{
	struct ifaddrs *all = NULL, *i;
	struct addr far[2], from[2] = {};
	bool routed[2];
	unsigned n = 0, k;

	/* Some address of the internet that nobody has at home. */
	addr_parse(SPAN("192.88.99.1"), &far[0]);
	addr_parse(SPAN("2001:4:112::1"), &far[1]);
	for (k = 0; k < 2; k++)
		routed[k] = host_source(&far[k], &from[k]) == 0;
	if (getifaddrs(&all))
		return 0;
	for (i = all; i && n < HOST_ADDRS_MAX; i = i->ifa_next) {
		struct host_addr h = {};

		if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK) ||
		    addr_from_sockaddr(i->ifa_addr, &h.a))
			continue;
		h.a.port = 0;
		if (is_link_local(&h.a))
			continue;
		snprintf(h.dev, sizeof(h.dev), "%s", i->ifa_name);
		h.is_private = is_private(&h.a);
		k = addr_is_v4(&h.a) ? 0 : 1;
		h.is_default = routed[k] && addr_ip_eq(&h.a, &from[k]);
		out[n++] = h;
	}
	freeifaddrs(all);
	return n;
}

static const struct host_addr *find(const struct host_addr *all, unsigned n, const struct addr *a)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (addr_ip_eq(&all[i].a, a))
			return &all[i];
	return NULL;
}

/* @why = the sentence, and the addresses that there are. */
static int ask(const struct host_addr *all, unsigned n, const char *sentence, char *why)
{
	char text[ADDR_TEXT_MAX];
	size_t at = (size_t)snprintf(why, HOST_WHY_MAX, "%s; this machine has", sentence);
	unsigned i;

	for (i = 0; i < n && at < HOST_WHY_MAX; i++)
		at += (size_t)snprintf(why + at, HOST_WHY_MAX - at, "%s %s (%s)", i ? "," : "",
				       addr_ip_text(&all[i].a, text), all[i].dev);
	if (!n && at < HOST_WHY_MAX)
		snprintf(why + at, HOST_WHY_MAX - at, " none");
	return -EINVAL;
}

static int given(const struct host_addr *all, unsigned n, const char *option, const char *text,
		 bool ours, struct addr *out, char *why)
{
	char sentence[160];

	if (addr_parse(span_str(text), out) || out->port || addr_is_any(out)) {
		snprintf(why, HOST_WHY_MAX, "%s: wanted an IP address, got \"%.64s\"", option,
			 text);
		return -EINVAL;
	}
	if (!ours || find(all, n, out))
		return 0;
	snprintf(sentence, sizeof(sentence), "%s %.64s is not an address of this machine", option,
		 text);
	return ask(all, n, sentence, why);
}

enum liking { ANY, PUBLIC, PRIVATE, DEFAULT };

static bool likes(const struct host_addr *h, enum liking what)
{
	return what == ANY || (what == PUBLIC && !h->is_private) ||
	       (what == PRIVATE && h->is_private) || (what == DEFAULT && h->is_default);
}

/* The only one of a kind, that is not @but. */
static const struct host_addr *only(const struct host_addr *all, unsigned n, bool v4,
				    const struct addr *but, enum liking what)
{
	const struct host_addr *found = NULL;
	unsigned i;

	for (i = 0; i < n; i++) {
		if (addr_is_v4(&all[i].a) != v4 || (but && addr_ip_eq(&all[i].a, but)) ||
		    !likes(&all[i], what))
			continue;
		if (found)
			return NULL;
		found = &all[i];
	}
	return found;
}

static bool any_but(const struct host_addr *all, unsigned n, bool v4, const struct addr *but)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (addr_is_v4(&all[i].a) == v4 && !addr_ip_eq(&all[i].a, but))
			return true;
	return false;
}

static bool has_v4(const struct host_addr *all, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (addr_is_v4(&all[i].a))
			return true;
	return !n;
}

static int choose_outside(const struct host_addr *all, unsigned n, const struct host_wish *w,
			  struct host_choice *c, char *why)
{
	const struct addr *but = w->inside ? &c->inside : NULL;
	const struct host_addr *h;
	bool v4 = w->public_ ? addr_is_v4(&c->public_) : has_v4(all, n);

	if (w->outside)
		return given(all, n, "--outside", w->outside, true, &c->outside, why);
	if (w->public_ && find(all, n, &c->public_)) {
		c->outside = c->public_;
		return 0;
	}
	h = only(all, n, v4, but, ANY);
	if (!h)
		h = only(all, n, v4, but, PUBLIC);
	if (!h)
		h = only(all, n, v4, but, DEFAULT);
	/* The one card of all has both sides. */
	if (!h && but && !any_but(all, n, v4, but))
		h = find(all, n, but);
	if (!h)
		return ask(all, n,
			   "which address is towards clients? Say it: --outside ADDR (and --public "
			   "ADDR, where a NAT gives it another one)",
			   why);
	c->outside = h->a;
	return 0;
}

static int choose_inside(const struct host_addr *all, unsigned n, const struct host_wish *w,
			 struct host_choice *c, char *why)
{
	bool v4 = addr_is_v4(&c->outside);
	const struct host_addr *h;

	if (w->inside)
		return 0;
	if (!any_but(all, n, v4, &c->outside)) {
		c->inside = c->outside;
		return 0;
	}
	h = only(all, n, v4, &c->outside, ANY);
	if (!h)
		h = only(all, n, v4, &c->outside, PRIVATE);
	if (!h)
		return ask(all, n, "which address is towards the core? Say it: --inside ADDR", why);
	c->inside = h->a;
	return 0;
}

int host_choose(const struct host_addr *all, unsigned n, const struct host_wish *w,
		struct host_choice *out, char why[HOST_WHY_MAX])
{
	struct host_choice c = {};
	const struct host_addr *h;
	int err = 0;

	if (w->public_)
		err = given(all, n, "--public", w->public_, false, &c.public_, why);
	if (!err && w->inside)
		err = given(all, n, "--inside", w->inside, true, &c.inside, why);
	if (!err)
		err = choose_outside(all, n, w, &c, why);
	if (!err)
		err = choose_inside(all, n, w, &c, why);
	if (err)
		return err;
	if (!w->public_)
		c.public_ = c.outside;
	if (addr_is_v4(&c.public_) != addr_is_v4(&c.outside)) {
		snprintf(why, HOST_WHY_MAX,
			 "--public and the address towards clients are of different families: a "
			 "NAT does not do that");
		return -EINVAL;
	}
	h = find(all, n, &c.outside);
	c.outside_dev = h ? h->dev : "";
	h = find(all, n, &c.inside);
	c.inside_dev = h ? h->dev : "";
	*out = c;
	return 0;
}
