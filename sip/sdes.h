/* sip/sdes.h -- SRTP keys in session descriptions (RFC 4568; suites of RFC 4568 section 6.2 and RFC 7714).
 *
 * In: parsed a=crypto lines. Out: which one we take, its key and salt; lines of our own. No allocation, no state. */
#ifndef SALLYPORT_SIP_SDES_H
#define SALLYPORT_SIP_SDES_H

#include "sip/engine.h"
#include "sip/sdp.h"

#define SDES_KEY_MAX 46

const char *sdes_name(enum engine_suite suite);
size_t sdes_key_len(enum engine_suite suite);

/* Whether line @cr is of @suite and usable: exact key length, no MKI, no parameter that changes the stream. Then @key
 * is its key and salt, zeros behind them. */
bool sdes_read(const struct sdp_crypto *cr, enum engine_suite suite, uint8_t key[SDES_KEY_MAX]);
/* The line to take of those offered: our order decides, not theirs. */
bool sdes_pick(const struct sdp_media *sm, uint32_t *tag, enum engine_suite *suite,
	       uint8_t key[SDES_KEY_MAX]);
struct sdp_crypto_out sdes_line(uint32_t tag, enum engine_suite s, const uint8_t *key);

#endif
