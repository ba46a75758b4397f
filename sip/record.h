/* sip/record.h -- what of the engine outlives it: calls that stand, other dialogs, bindings, and INVITEs that wait for their final
 * answer, as bytes.
 *
 * Data flow: something of a call, binding or INVITE changes -> record_touch() -> before any other action of that turn is handed out, ENGINE_KEEP with the
 * record as it is now; its end -> ENGINE_FORGET after them. The caller keeps the bytes (user/keep.h; later in Redis) and gives each back to
 * engine_restore() of an engine that follows. Nothing is touched while engine_config.keep is off.
 * A restored INVITE is not carried on: it ends, on both sides (txn_record.c).
 * A restored call has no transaction and no offer under way: the session that was in force is. A restored binding has those of its
 * streams that are open again, and they are admitted for it as before; without one it waits for its device's next REGISTER. Times are
 * the caller's milliseconds, which must go on from one engine to the next.
 * Format: fields in a fixed order, integers little-endian, strings with a 16-bit length; read back strictly, bounds checked. Keys are in
 * it: the caller wipes what it drops. */
#ifndef SALLYPORT_SIP_RECORD_H
#define SALLYPORT_SIP_RECORD_H

#include "sip/engine_int.h"

#define RECORD_MAX 8192 /* bytes; a longer one is not kept */

void record_touch(struct engine *e, struct record *r);
/* Its owner ends: what is kept of it goes. */
void record_forget(struct engine *e, struct record *r);
/* The owner's memory goes; what is kept stays unless it was forgotten before. */
void record_unlink(struct engine *e, struct record *r);
/* The next ENGINE_KEEP, or false. */
bool record_next(struct engine *e, struct engine_action *out);

/* ---- bytes ---- */
struct record_out {
	uint8_t *p;
	size_t n, cap;
	bool overflow;
};
struct record_in {
	const uint8_t *p;
	size_t n;
	bool bad;
};
void record_put(struct record_out *o, uint64_t v, unsigned bytes);
void record_put_text(struct record_out *o, const char *s); /* NULL as "" */
void record_put_span(struct record_out *o, struct span s);
void record_put_addr(struct record_out *o, const struct addr *a);
void record_put_bytes(struct record_out *o, const void *p, size_t n);
uint64_t record_get(struct record_in *in, unsigned bytes);
/* A new string, or NULL: "", or no memory (then bad). */
char *record_get_text(struct record_in *in, size_t max);
/* Bytes of the record, as long as it lives. */
struct span record_get_span(struct record_in *in);
void record_get_addr(struct record_in *in, struct addr *a);
void record_get_bytes(struct record_in *in, void *p, size_t n);
/* The server of that name: its index, or -1 (the configuration has another one now). */
int record_get_server(struct engine *e, struct record_in *in);

/* ---- by the owners: call_record.c, binding.c, txn_record.c ---- */
bool call_record(const struct engine *e, const struct record *r, struct record_out *o);
int call_restore(struct engine *e, uint64_t id, struct record_in *in);
bool binding_record(const struct engine *e, const struct record *r, struct record_out *o);
int binding_restore(struct engine *e, uint64_t id, struct record_in *in);
bool txn_record(struct engine *e, const struct record *r, struct record_out *o);
int txn_restore(struct engine *e, uint64_t id, struct record_in *in);

#endif
