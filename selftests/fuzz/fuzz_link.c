/* selftests/fuzz/fuzz_link.c -- frames of the link: what unpacks must pack again into a frame that unpacks to the same bytes.
 *
 * In: libFuzzer's bytes, read as a run of frames. Out: a crash when a limit of user/link_frame.c does not hold. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/link_impl.h"

/* user/link_frame.c also reads and writes connections; nothing here does. */
ssize_t conn_read(struct conn *c, void *buf, size_t n)
{
	(void)c, (void)buf, (void)n;
	abort();
}

int conn_write(struct conn *c, struct span data)
{
	(void)c, (void)data;
	abort();
}

int conn_write_later(struct conn *c, struct span data, unsigned ms)
{
	(void)ms;
	return conn_write(c, data);
}

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void again(const Sallyport__Link *m)
{
	static uint8_t a[4 * LINK_FRAME_MAX], b[4 * LINK_FRAME_MAX];
	Sallyport__Link *m2;
	ssize_t n = link_frame_pack(m, a, sizeof(a));

	if (n < 0)
		return; /* what came in its shortest form can be longer in ours only by going over the limit */
	require(link_frame_unpack(span_of(a, (size_t)n), &m2) == n);
	require(m2->m_case == m->m_case);
	require(link_frame_pack(m2, b, sizeof(b)) == n && memcmp(a, b, (size_t)n) == 0);
	sallyport__link__free_unpacked(m2, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = {data, size};
	Sallyport__Link *m;
	ssize_t n;

	while ((n = link_frame_unpack(in, &m)) > 0) {
		require((size_t)n <= in.n && n <= LINK_FRAME_MAX + LINK_HEAD);
		again(m);
		if (m->m_case == SALLYPORT__LINK__M_OPEN)
			require(m->open->client_ip.len == 16 && m->open->client_port <= 65535);
		if (m->m_case == SALLYPORT__LINK__M_HELLO)
			require(m->hello->n_domain <= LINK_DOMAINS_MAX &&
				m->hello->pool <= LINK_POOL_MAX);
		if (m->m_case == SALLYPORT__LINK__M_STREAM_END)
			require(m->stream_end->bytes_sent <= LINK_BYTES_MAX);
		if (m->m_case == SALLYPORT__LINK__M_STREAM_IDLE)
			require(m->stream_idle->bytes_sent <= LINK_BYTES_MAX);
		sallyport__link__free_unpacked(m, NULL);
		in = span_cut(in, (size_t)n, in.n);
	}
	require(n == -EAGAIN || n == -EBADMSG);
	return 0;
}
