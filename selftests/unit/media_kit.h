/* selftests/unit/media_kit.h -- media_core on the real loop over loopback, with an edge made of UDP sockets and a link that only records
 * what is sent. In: a world with its limits. Out: what media_core told the link and its ops. A test owns its world; world_stop() and
 * world_start() are one worker's end and the next one's start: sockets, and records with w->keep, stay. */
#ifndef SALLYPORT_TEST_MEDIA_KIT_H
#define SALLYPORT_TEST_MEDIA_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "user/media_core_int.h"

#define SENT_MAX 64

struct link_peer {
	const char *name;
};

struct world {
	struct loop *loop;
	struct media_core *m;
	struct link_peer edge, other;
	struct loop_timer stop;
	unsigned opened, failed, silent;
	uint64_t last_medium;
	char reason[64];
	struct media_addrs addrs;
	bool close_in_opened;
	int edge_fd[2], phone[2]; /* the edge's inside ports; an inside party */
	struct addr edge_addr[2], phone_addr[2];
	struct srtp_session *client_seal, *client_open;
	struct media_set set;
	struct keeper_plan plan; /* of the pool's sockets */
	struct sockpool pool;
	int link_fd;
	struct addr link_addr;
	uint32_t silence_ms;
	unsigned media_max;
	struct keep *keep;
};

extern Sallyport__Link *sent[SENT_MAX];
extern unsigned n_sent;
extern uint32_t peer_features; /* of all of them */

void sent_clear(void);
void run(struct world *w, unsigned ms);
struct addr local(uint16_t port);
int udp(struct addr *out);
void world_new(struct world *w, uint32_t silence_ms, unsigned media_max, uint16_t range);
void world_free(struct world *w);
void world_start(struct world *w);
void world_stop(struct world *w);
void allocated_at(struct world *w, struct link_peer *from, uint64_t flow, const char *error,
		  const struct addr *inside, uint16_t outside_port);
void allocated(struct world *w, uint64_t flow, unsigned i, const char *error);
void punched(struct world *w, uint64_t flow);
const Sallyport__Allocate *sent_allocate(unsigned i);
ssize_t take(int fd, uint8_t *buf, size_t n, struct addr *from);
void give(int fd, const struct addr *to, const uint8_t *p, size_t n);
void open_medium(struct world *w, uint64_t id, bool rtcp, uint64_t flows[2]);
void key_medium(struct world *w, uint64_t id, enum srtp_suite s);
uint32_t plain(uint8_t *p, bool rtcp, uint16_t seq);
enum srtp_result transform(struct srtp_session *s, uint8_t *p, uint32_t *n, bool rtcp, bool seal);

#endif
