/* user/ktls.h -- kernel TLS of one connection: keys go in, the kernel makes and opens the records, control records are ours.
 *
 * Data flow: an established connection of OpenSSL gives up its keys and record numbers (user/tls_climb.c) -> ktls_start() hands them to
 * the kernel, the receiving direction first -> data by ktls_read() and ktls_write(), or by splice(2) on the same descriptor. Alerts and
 * handshake messages come out of ktls_read() as what they mean: close_notify is the end, KeyUpdate gives the kernel new keys.
 * Owner rules: struct ktls is plain memory without a pointer, so that it can lie where it outlives the process; whoever holds it and the
 * descriptor has the connection. Secrets, those that the next keys come from, are there only where the kernel can take new ones (TLS 1.3,
 * Linux 6.14), beside it: in the same block (ktls_new()), or where ktls_secrets_at() says; ktls_wipe() ends both. The
 * descriptor is always the caller's. There is no way back to OpenSSL.
 * Limits: KTLS_RECORDS_MAX records a key are sent (RFC 8446 section 5.5: 2^24.5 for AES-GCM), then new keys or the end; KTLS_UPDATES_MAX
 * KeyUpdates in a row are taken without data between them. */
#ifndef SALLYPORT_KTLS_H
#define SALLYPORT_KTLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define KTLS_SECRET_MAX	 48
#define KTLS_RECORDS_MAX (1u << 24)
#define KTLS_UPDATES_MAX 32
#define KTLS_WHY_MAX	 160

enum ktls_cipher { KTLS_AES_128_GCM, KTLS_AES_256_GCM, KTLS_CHACHA20, KTLS_CIPHERS };
enum ktls_dir { KTLS_RX, KTLS_TX, KTLS_DIRS };
enum ktls_version { KTLS_1_2, KTLS_1_3, KTLS_VERSIONS };

/* What the running kernel can do. Errors are positive errnos, 0: it works. */
struct ktls_probe {
	int ulp; /* TCP_ULP "tls": ENOENT without the module */
	struct {
		int dir[KTLS_DIRS];
		int rekey; /* EBUSY: the kernel keeps its first keys */
	} of[KTLS_VERSIONS][KTLS_CIPHERS];
};
/* Over TCP pairs on 127.0.0.1, a record through each; some milliseconds. A process with CAP_NET_ADMIN makes the kernel load its
 * module by this. 0, or a negative errno when no TCP pair could be made: then *out says the same of everything. */
int ktls_probe(struct ktls_probe *out);
/* Whether anything works at all. */
bool ktls_usable(const struct ktls_probe *p);
/* "ENOENT: the kernel has no tls module: modprobe tls", "" when it works. Returns @buf. */
const char *ktls_why(const struct ktls_probe *p, enum ktls_version v, enum ktls_cipher c,
		     enum ktls_dir d, char buf[KTLS_WHY_MAX]);
const char *ktls_version_name(enum ktls_version v); /* "TLSv1.3" */
const char *ktls_cipher_name(enum ktls_cipher c);   /* "AES-128-GCM" */

/* What the next keys come from. */
struct ktls_secrets {
	uint8_t of[KTLS_DIRS][KTLS_SECRET_MAX];
};

struct ktls {
	uint8_t version, cipher; /* enum ktls_version, enum ktls_cipher */
	uint8_t has[KTLS_DIRS];	 /* the kernel has the keys of this direction */
	uint8_t rekey;		 /* and takes new ones: there are secrets */
	uint8_t changing; /* it is being given some: a process that dies now leaves nothing to go on with */
	uint8_t clean;	/* the peer's close_notify was read */
	uint8_t closed; /* ours was sent */
	uint8_t secret_n;
	uint8_t head[4], head_n; /* of a handshake message on its way in */
	uint8_t answer;		 /* a KeyUpdate of ours is owed */
	uint8_t alert[2], alert_n;
	uint16_t updates;   /* KeyUpdates since the last data */
	uint32_t body_left; /* of that message */
	uint16_t rekeys[KTLS_DIRS];
	int32_t secrets;  /* where its struct ktls_secrets begins, in bytes from here; 0: nowhere */
	uint64_t records; /* sent with the present key */
};
_Static_assert(sizeof(struct ktls) == 40, "three of them an idle client");

/* One with room for secrets behind it, all zero; NULL: no memory. To be wiped and freed. */
struct ktls *ktls_new(void);
/* @k's secrets lie, or are to lie, at @where from now on; NULL: nowhere. Nothing is copied, and of what another process wrote there no
 * byte is believed before it is told anew. */
void ktls_secrets_at(struct ktls *k, struct ktls_secrets *where);
struct ktls_secrets *ktls_secrets(const struct ktls *k); /* NULL: nowhere */
/* All of @from, with its secrets to where those of @to lie; without such a place the keys of @to stay as they are (.rekey 0). */
void ktls_copy(struct ktls *to, const struct ktls *from);

/* Keys of one direction as the kernel wants them: the nonce's fixed part first (RFC 5116 section 3.2). */
struct ktls_keys {
	uint8_t key[32], iv[12];
	uint64_t seq; /* number of the next record */
};

/* From its secret (TLS 1.3, RFC 8446 section 7.3); and the secret after it (section 7.2). 0 or -ENOMEM. */
int ktls_keys_from_secret(const struct ktls *k, enum ktls_dir d, struct ktls_keys *out);
int ktls_secret_next(struct ktls *k, enum ktls_dir d);
size_t ktls_key_size(enum ktls_cipher c);

/* Hand a connection's keys over; @rx NULL: only the sending direction. 0; -EAGAIN never. A negative errno with nothing changed when
 * the first setsockopt fails; -ENOTRECOVERABLE when the sending direction failed behind the receiving one: the connection is lost. */
int ktls_start(struct ktls *k, int fd, const struct ktls_keys *rx, const struct ktls_keys *tx);
void ktls_wipe(struct ktls *k);

/* > 0; 0: the end after close_notify; -EAGAIN; -EPIPE: FIN without it; -EBADMSG: a record that does not verify; -EKEYEXPIRED: the peer
 * changes its keys and this kernel cannot; -EPROTO, -ECONNRESET. *why: a text for the last four, static or NULL. */
ssize_t ktls_read(struct ktls *k, int fd, void *buf, size_t n, const char **why);
/* > 0 bytes taken; -EAGAIN; -EKEYEXPIRED: the record limit is reached and the kernel takes no new keys; else as ktls_read. */
ssize_t ktls_write(struct ktls *k, int fd, const void *buf, size_t n, const char **why);
/* Before @n bytes go to the descriptor by another way (splice): count their records, change keys when it is time. 0, -EAGAIN,
 * -EKEYEXPIRED and the like. */
int ktls_sending(struct ktls *k, int fd, size_t n, const char **why);
int ktls_close_notify(struct ktls *k, int fd); /* 0, -EAGAIN, another negative errno */
/* A fatal alert as a last word: as far as the socket takes it. */
void ktls_alert(int fd, uint8_t description);

#endif
