/* tools/load_media.h -- media of the load generator's calls: a socket an end, SRTP or plain RTP, 50 packets a second.
 *
 * Data flow: load_media_start() puts an end on a wheel of 20 places, a millisecond each; the mill's timer turns it and every end that
 * comes by gives a packet, sealed 64 at a time. What arrives is collected over a loop round, opened 64 at a time and judged by
 * load_content. Owner rules: the mill owns batch and wheel; the caller owns ends, which it opens, starts and closes; an end that is
 * closed flushes first, so a batch never names one that is gone, and its descriptor closes a round later, as the loop submits what
 * it is to send only then. Bounded: an end stops by itself after the packets it is to send. */
#ifndef SALLYPORT_LOAD_MEDIA_H
#define SALLYPORT_LOAD_MEDIA_H

#include "tools/load_content.h"
#include "user/loop.h"
#include "user/srtp.h"

#define LOAD_WHEEL 20 /* ms between two packets of an end */
#define LOAD_DYING 4096

struct load_end {
	struct load_mill *mill;
	struct load_end *prev, *next; /* on the wheel; NULL: not sending */
	int fd;
	struct loop_handle recv;
	struct addr remote;		  /* port 0: not known yet */
	struct srtp_session *open, *seal; /* NULL: plain RTP */
	struct load_tag hears;		  /* call and direction that are to come */
	uint32_t sent, to_send;		  /* packets */
	uint32_t ssrc, stamp;
	uint16_t seq;
	struct load_heard heard;
	uint64_t last_us, gap_us; /* when we heard last; longest time between two */
};

struct load_media_count {
	uint64_t sent, received, lost, early, tail, doubled, reordered;
	uint64_t verdicts[LOAD_VERDICTS], results[SRTP_RESULTS];
	uint64_t stray;	      /* from elsewhere than where we send to */
	uint64_t silent_ends; /* ends of calls that heard nothing at all */
	uint32_t early_max;   /* of one end */
	uint64_t gap_us,
		delay_us_max; /* longest; the delay is one way, so both ends on one machine */
};

struct load_mill {
	struct loop *loop;
	struct loop_timer tick;
	uint64_t turned_ms;
	struct load_end wheel[LOAD_WHEEL]; /* list heads */
	struct srtp_packet in[SRTP_BATCH_MAX], out[SRTP_BATCH_MAX];
	struct load_end *in_end[SRTP_BATCH_MAX], *out_end[SRTP_BATCH_MAX];
	uint32_t in_buf[SRTP_BATCH_MAX];
	uint8_t out_bytes[SRTP_BATCH_MAX][256];
	unsigned n_in, n_out;
	int dying
		[2]
		[LOAD_DYING]; /* descriptors whose last packets are being submitted: of the last round, of this one */
	unsigned n_dying[2];
	uint64_t send_refused;		  /* no send buffer: our own fault, not the relay's */
	struct load_media_count count[2]; /* of callers, of callees */
};

int load_mill_init(struct load_mill *m, struct loop *loop);
/* A socket on @ip, any port (*port). @hears: which call's, and the direction that comes to us. */
int load_end_open(struct load_mill *m, struct load_end *e, const struct addr *ip,
		  const struct load_tag *hears, uint16_t *port);
/* Keys of both directions, exact lengths; not called for plain RTP. */
int load_end_keys(struct load_end *e, enum srtp_suite s, struct span open_key,
		  struct span seal_key);
/* Send @to_send packets from now on to e->remote. */
void load_end_start(struct load_end *e, uint32_t to_send);
void load_end_stop(struct load_end *e);
/* All that can come has come, if the other side sends as much as we. */
bool load_end_complete(const struct load_end *e);
/* Into the counts; @peer_sent: what the other side says it sent, or -1. */
void load_end_count(struct load_end *e, int64_t peer_sent);
void load_end_close(struct load_end *e);

#endif
