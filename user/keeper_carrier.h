/* user/keeper_carrier.h -- many descriptors as one, for the service manager's store.
 *
 * systemd compares what it is given with all that it has (kcmp(2), one by one): 9,000 media sockets keep its process 1 busy for a minute,
 * and everything on the host waits. So a range goes there in flight: sent, 253 a message, through a socket pair whose other end is what
 * the store gets. Data flow: carrier_pack() -> one descriptor -> the store -> the next keeper -> carrier_unpack(), which looks at the
 * messages without taking them, so that the store holds them on for the keeper after that one.
 * Owner rules: a carrier owns what is in it; it ends with the carrier's last duplicate. What is unpacked is the caller's. Limit: of what
 * is in flight the kernel takes RLIMIT_NOFILE a user (ETOOMANYREFS). */
#ifndef SALLYPORT_KEEPER_CARRIER_H
#define SALLYPORT_KEEPER_CARRIER_H

#include <stdbool.h>

/* @n descriptors from @first on, which stay open. The carrier, close-on-exec, or a negative errno. */
int carrier_pack(int first, unsigned n);
/* Is @fd one? By its kind: nothing else in the store is a unix socket. */
bool carrier_is(int fd);
/* Duplicates of all that is in it, close-on-exec, in the order of packing, into *@out (free() it). Their number, or a negative errno: then
 * none is open. */
int carrier_unpack(int fd, int **out);

#endif
