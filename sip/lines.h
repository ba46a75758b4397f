/* sip/lines.h -- a phone with several lines is never left half registered.
 *
 * A phone may register several addresses of record over one stream, and only the first REGISTERs of a connection need name them all: later
 * ones may refresh the first line alone. A call server that lost its registrations in between then knows just that line again, and
 * nothing tells the phone. What makes every phone register all its lines is a new connection: so its stream is closed.
 *
 * Data flow: news of a target -> it has lost its registrations (target.h): each binding that it confirmed is marked lost, and stays so
 * whatever becomes of the target (DNS may name it no more). A confirmed registration -> its binding is lost no more -> lines_confirmed():
 * is another AOR's line of this stream, at the same call server, lost? Then the stream is half registered -> queue ->
 * LINES_WAIT_MS later, if the phone has not registered the rest by itself and none of its users is in a call -> ENGINE_CLOSE_STREAM, a
 * line in the log, stats.half_registered. The phone connects, and registers all.
 *
 * What is taken for a loss, and what is not (target_ended()):
 * - a refused connection or datagram: nobody listens there, so the process is gone (kill, crash, restart). Loss.
 * - a connection that was reset or timed out: the other end knows nothing of it. Loss; call servers that hang registrations on a
 *   connection drop them too.
 * - a connection that ended in order (FIN; with TLS with or without close_notify, Kamailio sends none): no loss. Call servers close idle
 *   ones. But a process that ends looks the same, even when it is killed: so OPTIONS dials anew at once, and that tells. An answer: it
 *   has been there all the time; refused, reset, or no way to it: loss. Of a call server that ties registrations to the connection they
 *   came by (`registrations: connection`) each end of ours is a loss, and so is the core's worker's: a restored binding is lost.
 * - silence, no route: no loss. A wire that was down takes no registration away, and a host that came up again refuses or resets first.
 * Not to be seen, then: over UDP a restart within the second between two knocks; an address or a balancer that goes over to another
 * host without a refusal or reset; registrations that are dropped one by one. Taken for a loss without being one: a connection closed as
 * idle just when something of ours arrived there, which the kernel answers with a reset (OPTIONS each ten seconds keep it from being
 * idle); the restart of a call server that has its registrations on disk. It costs each phone with several lines one connection.
 *
 * A refresh is the moment because it proves that half is back, and because refreshes come spread over their interval. A stream with one
 * AOR is left alone, and so is one whose lines were all confirmed since. A line whose granted time is over is no line any more.
 *
 * Owner rules: the queue is linked through struct stream, first in first out; a stream that goes leaves it (lines_gone()). Limits: one
 * close a stream, for good; one close each LINES_GAP_MS; a call, which would outlive the change of connections but may feel it, holds it up
 * for LINES_CALL_MS at most.
 * After a restart of the core's worker the record of a binding says who confirmed it and whether it is lost already, for the streams that
 * outlived the worker; what waited to be closed waits for the next refresh. Other phones connect and register anew. */
#ifndef SALLYPORT_SIP_LINES_H
#define SALLYPORT_SIP_LINES_H

#include "sip/engine_int.h"

#define LINES_WAIT_MS 5000   /* for the phone's other REGISTERs; then between looks at its calls */
#define LINES_GAP_MS  10     /* between two closes */
#define LINES_CALL_MS 120000 /* a refresh interval */

int lines_init(struct engine *e); /* 0 or -ENOMEM */
void lines_fini(struct engine *e);
/* A registration over @s was confirmed just now. */
void lines_confirmed(struct engine *e, struct stream *s);
/* @s goes. */
void lines_gone(struct engine *e, struct stream *s);

#endif
