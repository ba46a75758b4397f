/* user/ktls.c -- records by the kernel: data, alerts, KeyUpdate. See ktls.h.
 *
 * In: a descriptor with keys set, its struct ktls. Out: bytes, and what the control records meant. Owner: the caller, of both.
 *
 * A control record never mixes with data in one recvmsg(), and comes out only where there is room for its type (tls(7) has no page;
 * Documentation/networking/tls.rst). A record of no bytes gives 0 with a type, the end of the stream 0 without one. */
#include "user/ktls.h"

#include <endian.h>
#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define RECORD_ALERT	  21
#define RECORD_HANDSHAKE  22
#define RECORD_DATA	  23
#define RECORD_MAX	  16384
#define RECORDS_EMPTY_MAX 32 /* in a row, as OpenSSL's limit */

#define ALERT_FATAL	    2
#define ALERT_CLOSE_NOTIFY  0
#define ALERT_BAD_MAC	    20
#define ALERT_INTERNAL	    80
#define ALERT_USER_CANCELED 90

#define HANDSHAKE_HEAD	 4
#define HANDSHAKE_TICKET 4
#define HANDSHAKE_UPDATE 24
#define HANDSHAKE_MAX	 65536

size_t ktls_key_size(enum ktls_cipher c)
{
	return c == KTLS_AES_128_GCM ? 16 : 32;
}

struct ktls *ktls_new(void)
{
	struct {
		struct ktls k;
		struct ktls_secrets secrets;
	} *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	ktls_secrets_at(&b->k, &b->secrets);
	return &b->k;
}

void ktls_secrets_at(struct ktls *k, struct ktls_secrets *where)
{
	k->secrets = where ? (int32_t)((uint8_t *)where - (uint8_t *)k) : 0;
}

struct ktls_secrets *ktls_secrets(const struct ktls *k)
{
	return k->secrets ? (struct ktls_secrets *)((uintptr_t)k + (uintptr_t)(intptr_t)k->secrets)
			  : NULL;
}

void ktls_copy(struct ktls *to, const struct ktls *from)
{
	struct ktls_secrets *there = ktls_secrets(to), *here = ktls_secrets(from);
	int32_t at = to->secrets;

	*to = *from;
	to->secrets = at;
	if (!here || !there)
		to->rekey = 0;
	else if (to->rekey)
		*there = *here;
}

void ktls_wipe(struct ktls *k)
{
	if (k->secrets)
		explicit_bzero(ktls_secrets(k), sizeof(struct ktls_secrets));
	explicit_bzero(k, sizeof(*k));
}

/* ---- keys ---- */

/* Salt and explicit nonce are the two halves of the IV; the explicit half of TLS 1.2 is a counter of ours, the record's number: it
 * only must not repeat under one key, and OpenSSL began at a random place. */
static int keys_set(const struct ktls *k, int fd, enum ktls_dir d, const struct ktls_keys *from)
{
	union {
		struct tls_crypto_info info;
		struct tls12_crypto_info_aes_gcm_128 g128;
		struct tls12_crypto_info_aes_gcm_256 g256;
		struct tls12_crypto_info_chacha20_poly1305 chacha;
	} c = {};
	uint64_t seq = htobe64(from->seq);
	const uint8_t *explicit = k->version == KTLS_1_2 ? (uint8_t *)&seq : from->iv + 4;
	socklen_t n = 0;
	int ret;

	c.info.version = k->version == KTLS_1_3 ? TLS_1_3_VERSION : TLS_1_2_VERSION;
	switch (k->cipher) {
	case KTLS_AES_128_GCM:
		c.info.cipher_type = TLS_CIPHER_AES_GCM_128;
		memcpy(c.g128.key, from->key, sizeof(c.g128.key));
		memcpy(c.g128.salt, from->iv, sizeof(c.g128.salt));
		memcpy(c.g128.iv, explicit, sizeof(c.g128.iv));
		memcpy(c.g128.rec_seq, &seq, sizeof(seq));
		n = sizeof(c.g128);
		break;
	case KTLS_AES_256_GCM:
		c.info.cipher_type = TLS_CIPHER_AES_GCM_256;
		memcpy(c.g256.key, from->key, sizeof(c.g256.key));
		memcpy(c.g256.salt, from->iv, sizeof(c.g256.salt));
		memcpy(c.g256.iv, explicit, sizeof(c.g256.iv));
		memcpy(c.g256.rec_seq, &seq, sizeof(seq));
		n = sizeof(c.g256);
		break;
	case KTLS_CHACHA20:
		c.info.cipher_type = TLS_CIPHER_CHACHA20_POLY1305;
		memcpy(c.chacha.key, from->key, sizeof(c.chacha.key));
		memcpy(c.chacha.iv, from->iv, sizeof(c.chacha.iv));
		memcpy(c.chacha.rec_seq, &seq, sizeof(seq));
		n = sizeof(c.chacha);
		break;
	}
	ret = setsockopt(fd, SOL_TLS, d == KTLS_RX ? TLS_RX : TLS_TX, &c, n) ? -errno : 0;
	explicit_bzero(&c, sizeof(c));
	return ret;
}

int ktls_start(struct ktls *k, int fd, const struct ktls_keys *rx, const struct ktls_keys *tx)
{
	int ret;

	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) && errno != EEXIST)
		return -errno;
	if (rx) {
		ret = keys_set(k, fd, KTLS_RX, rx);
		if (ret)
			return ret;
		k->has[KTLS_RX] = 1;
	}
	ret = keys_set(k, fd, KTLS_TX, tx);
	if (ret)
		return rx ? -ENOTRECOVERABLE : ret;
	k->has[KTLS_TX] = 1;
	k->records = tx->seq;
	return 0;
}

/* New keys of one direction, from the secret after the present one. */
static int keys_next(struct ktls *k, int fd, enum ktls_dir d)
{
	struct ktls_keys keys = {};
	int ret;

	__atomic_store_n(&k->changing, 1, __ATOMIC_RELEASE);
	ret = ktls_secret_next(k, d);
	if (!ret)
		ret = ktls_keys_from_secret(k, d, &keys);
	if (!ret)
		ret = keys_set(k, fd, d, &keys);
	explicit_bzero(&keys, sizeof(keys));
	if (ret)
		return ret; /* the connection is lost */
	k->rekeys[d]++;
	__atomic_store_n(&k->changing, 0, __ATOMIC_RELEASE);
	return 0;
}

/* ---- sending ---- */

static ssize_t record_send(int fd, uint8_t type, const void *p, size_t n)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(1)];
	} control = {};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control.room)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	ssize_t ret;

	c->cmsg_level = SOL_TLS;
	c->cmsg_type = TLS_SET_RECORD_TYPE;
	c->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(c) = type;
	do {
		ret = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

void ktls_alert(int fd, uint8_t description)
{
	uint8_t alert[2] = {ALERT_FATAL, description};

	record_send(fd, RECORD_ALERT, alert, sizeof(alert));
}

int ktls_close_notify(struct ktls *k, int fd)
{
	static const uint8_t alert[2] = {1, ALERT_CLOSE_NOTIFY};
	ssize_t ret;

	if (k->closed)
		return 0;
	ret = record_send(fd, RECORD_ALERT, alert, sizeof(alert));
	if (ret < 0)
		return (int)ret;
	k->closed = 1;
	return 0;
}

/* KeyUpdate of ours, then the next key: the record itself still goes under the present one (RFC 8446 section 4.6.3). */
static int update_send(struct ktls *k, int fd, const char **why)
{
	static const uint8_t update[HANDSHAKE_HEAD + 1] = {HANDSHAKE_UPDATE, 0, 0, 1, 0};
	ssize_t ret = record_send(fd, RECORD_HANDSHAKE, update, sizeof(update));

	if (ret < 0) /* of the socket: no fault of the keys */
		return (int)ret;
	if (keys_next(k, fd, KTLS_TX)) {
		*why = "new keys for sending were refused by the kernel";
		return -EPROTO;
	}
	k->answer = 0;
	k->records = 0;
	return 0;
}

int ktls_sending(struct ktls *k, int fd, size_t n, const char **why)
{
	uint64_t records = (n + RECORD_MAX - 1) / RECORD_MAX;

	if (k->records + records >= KTLS_RECORDS_MAX && !k->rekey) {
		*why = "as many records were sent as one key may protect, and this kernel takes no "
		       "other";
		return -EKEYEXPIRED;
	}
	if (k->answer || k->records + records >= KTLS_RECORDS_MAX) {
		int ret = update_send(k, fd, why);

		if (ret)
			return ret;
	}
	k->records += records;
	return 0;
}

ssize_t ktls_write(struct ktls *k, int fd, const void *buf, size_t n, const char **why)
{
	ssize_t ret = ktls_sending(k, fd, n, why);

	if (ret)
		return ret;
	do {
		ret = send(fd, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (ret < 0 && errno == EINTR);
	if (ret >= 0)
		return ret;
	return errno == EBADMSG ? -ECONNRESET : -errno;
}

/* ---- receiving ---- */

/* One record's bytes, or several data records'. *type 0: the end of the stream. */
static ssize_t record_read(int fd, void *buf, size_t n, uint8_t *type)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(1)];
	} control;
	struct iovec iov = {.iov_base = buf, .iov_len = n};
	struct msghdr m;
	struct cmsghdr *c;
	ssize_t ret;

	do {
		m = (struct msghdr){.msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = &control,
				    .msg_controllen = sizeof(control.room)};
		ret = recvmsg(fd, &m, MSG_DONTWAIT);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&m);
	*type = c && c->cmsg_level == SOL_TLS && c->cmsg_type == TLS_GET_RECORD_TYPE ? *CMSG_DATA(c)
		: ret > 0							     ? RECORD_DATA
										     : 0;
	return ret;
}

static const char *const alert_names[256] = {
	[10] = "alert received: unexpected message", [20] = "alert received: bad record mac",
	[22] = "alert received: record overflow",    [40] = "alert received: handshake failure",
	[47] = "alert received: illegal parameter",  [49] = "alert received: access denied",
	[50] = "alert received: decode error",	     [51] = "alert received: decrypt error",
	[80] = "alert received: internal error",
};

/* 0: the end; 1: nothing to do; or the failure. An alert may come in two records (TLS 1.2). */
static int alert_take(struct ktls *k, const uint8_t *p, size_t n, const char **why)
{
	for (; n; p++, n--) {
		k->alert[k->alert_n++] = *p;
		if (k->alert_n < 2)
			continue;
		k->alert_n = 0;
		if (k->alert[1] == ALERT_CLOSE_NOTIFY) {
			k->clean = 1;
			return 0;
		}
		/* RFC 8446 section 6: all others end the connection, whatever their level says, but for user_canceled; in TLS 1.2 a
		 * warning goes by. */
		if (k->alert[1] == ALERT_USER_CANCELED ||
		    (k->version == KTLS_1_2 && k->alert[0] != ALERT_FATAL))
			continue;
		*why = alert_names[k->alert[1]] ? alert_names[k->alert[1]] : "alert received";
		return -EPROTO;
	}
	return 1;
}

/* The peer has changed its sending key; @asked: it wants ours to change, too. */
static int update_take(struct ktls *k, int fd, uint8_t asked, const char **why)
{
	int ret;

	if (asked > 1) {
		*why = "bad KeyUpdate";
		return -EPROTO;
	}
	if (++k->updates > KTLS_UPDATES_MAX) {
		*why = "too many KeyUpdates in a row";
		return -EPROTO;
	}
	if (!k->rekey) {
		*why = "the peer changes its keys, which this kernel cannot follow (Linux 6.14 "
		       "can)";
		ktls_alert(fd, ALERT_INTERNAL);
		return -EKEYEXPIRED;
	}
	if (keys_next(k, fd, KTLS_RX)) {
		*why = "new keys for receiving were refused by the kernel";
		return -EPROTO;
	}
	k->answer |= asked;
	ret = k->answer ? update_send(k, fd, why) : 0;
	return ret && ret != -EAGAIN ? ret : 1; /* -EAGAIN: owed until the socket takes it */
}

/* The head of a handshake message is complete: 1, or what is wrong with it. */
static int handshake_head(struct ktls *k, const char **why)
{
	k->body_left = (uint32_t)k->head[1] << 16 | (uint32_t)k->head[2] << 8 | k->head[3];
	if (k->version != KTLS_1_3) {
		*why = "renegotiation is refused";
		return -EPROTO;
	}
	if (k->head[0] == HANDSHAKE_UPDATE
		    ? k->body_left != 1
		    : k->head[0] != HANDSHAKE_TICKET || k->body_left > HANDSHAKE_MAX) {
		*why = "a handshake message that has no place here";
		return -EPROTO;
	}
	return 1;
}

/* Handshake messages, in whatever pieces: 1, or the failure. A session ticket is passed by, KeyUpdate is followed. */
static int handshake_take(struct ktls *k, int fd, const uint8_t *p, size_t n, const char **why)
{
	size_t skip;

	while (n) {
		if (k->head_n < HANDSHAKE_HEAD) {
			k->head[k->head_n++] = *p++;
			n--;
			if (k->head_n == HANDSHAKE_HEAD && handshake_head(k, why) < 0)
				return -EPROTO;
		} else if (k->head[0] == HANDSHAKE_UPDATE) {
			k->head_n = 0;
			if (n == 1)
				return update_take(k, fd, *p, why);
			*why = "KeyUpdate before the end of a record"; /* RFC 8446 section 5.1 */
			return -EPROTO;
		} else {
			skip = n < k->body_left ? n : k->body_left;
			p += skip;
			n -= skip;
			k->body_left -= (uint32_t)skip;
		}
		if (k->head_n == HANDSHAKE_HEAD && !k->body_left)
			k->head_n = 0;
	}
	return 1;
}

static ssize_t read_failed(int fd, ssize_t err, const char **why)
{
	switch (err) {
	case -EAGAIN:
		return -EAGAIN;
	case -EBADMSG:
		*why = "a record does not verify";
		ktls_alert(fd, ALERT_BAD_MAC);
		return -EBADMSG;
	case -EINVAL:
	case -EMSGSIZE:
		*why = "a record of a bad length or version";
		return -EPROTO;
	default:
		return err;
	}
}

ssize_t ktls_read(struct ktls *k, int fd, void *buf, size_t n, const char **why)
{
	int i, taken;

	*why = NULL;
	if (k->clean)
		return 0;
	for (i = 0; i < RECORDS_EMPTY_MAX; i++) {
		uint8_t type = 0;
		ssize_t ret = record_read(fd, buf, n, &type);

		if (ret < 0)
			return read_failed(fd, ret, why);
		if (type == RECORD_DATA && ret > 0) {
			if (k->head_n || k->alert_n) {
				*why = "data inside a control message";
				return -EPROTO;
			}
			k->updates = 0;
			return ret;
		}
		switch (type) {
		case 0:
			*why = "truncated: connection closed without close_notify";
			return -EPIPE;
		case RECORD_DATA:
			continue;
		case RECORD_ALERT:
			taken = alert_take(k, buf, (size_t)ret, why);
			break;
		case RECORD_HANDSHAKE:
			taken = handshake_take(k, fd, buf, (size_t)ret, why);
			break;
		default:
			*why = "a record of an unknown type";
			return -EPROTO;
		}
		if (taken <= 0)
			return taken;
	}
	*why = "too many records without data in a row";
	return -EPROTO;
}
