/* selftests/net/srtpkit.h -- what the media helpers of the test bed share: SDES suites on libsrtp2, addresses, PCMU tones.
 *
 * In: "AES_CM_128_HMAC_SHA1_80" and the base64 of an a=crypto line. Out: libsrtp2 sessions. None of the daemons' own code
 * is used, so that a mistake there cannot hide here. */
#ifndef SALLYPORT_SELFTESTS_SRTPKIT_H
#define SALLYPORT_SELFTESTS_SRTPKIT_H

#include <netinet/in.h>
#include <srtp2/srtp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define KIT_KEY_MAX 46
#define KIT_TONES   15 /* 300, 400 .. 1700 Hz */

struct kit_key {
	char suite[32];
	uint8_t key[KIT_KEY_MAX];
	size_t n;
};

/* 0, or -EINVAL for an unknown suite or a key of the wrong length. */
int kit_key_parse(const char *suite, const char *base64, struct kit_key *out);
/* A session for any SSRC in one direction. 0 or -EIO. */
int kit_session(const struct kit_key *k, bool inbound, srtp_t *out);

/* "a.b.c.d:port" or "[v6]:port". 0 or -EINVAL. */
int kit_addr(const char *text, struct sockaddr_storage *out, socklen_t *out_n);

/* Bytes of RTP header (with CSRC and extension), 0 if it is none. */
size_t kit_rtp_header(const uint8_t *p, size_t n);
bool kit_is_stun(const uint8_t *p, size_t n);
bool kit_is_rtcp(const uint8_t *p, size_t n);

/* The tone meter: PCMU bytes in, frames of 50 ms by dominant tone out. */
struct kit_meter {
	int16_t frame[400];
	unsigned fill;
	unsigned frames[KIT_TONES];
};
void kit_meter_add(struct kit_meter *m, const uint8_t *ulaw, size_t n);
unsigned kit_meter_hz(const struct kit_meter *m, double *out_seconds); /* 0: none */

uint8_t kit_ulaw(int16_t sample);

#endif
