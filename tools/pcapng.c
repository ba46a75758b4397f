/* tools/pcapng.c -- see pcapng.h. A block: type, length, body, options, length again; all in multiples of four bytes. */
#include "tools/pcapng.h"

#include <string.h>

#define BLOCK_SECTION	 0x0a0d0d0au
#define BLOCK_INTERFACE	 1u
#define BLOCK_STATISTICS 5u
#define BLOCK_PACKET	 6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define TEXT_MAX	 255

enum {
	OPT_END = 0,
	OPT_FLAGS = 2,
	OPT_NAME = 2,
	OPT_WHAT = 3,
	OPT_PROGRAM = 4,
	OPT_RECEIVED = 4,
	OPT_DROPPED = 5,
	OPT_RESOLUTION = 9
};

static const uint8_t zeros[4];

static uint32_t padded(uint32_t n)
{
	return (n + 3) & ~3u;
}

static void put32(FILE *f, uint32_t v)
{
	fwrite(&v, 4, 1, f);
}

static void put_bytes(FILE *f, const void *p, uint32_t n)
{
	if (n)
		fwrite(p, 1, n, f);
	fwrite(zeros, 1, padded(n) - n, f);
}

static uint32_t option_size(uint32_t n)
{
	return 4 + padded(n);
}

static void put_option(FILE *f, uint16_t code, const void *p, uint16_t n)
{
	fwrite(&code, 2, 1, f);
	fwrite(&n, 2, 1, f);
	put_bytes(f, p, n);
}

static uint16_t text_size(const char *s)
{
	return (uint16_t)strnlen(s, TEXT_MAX);
}

static void put_time(FILE *f, uint64_t ns)
{
	put32(f, (uint32_t)(ns >> 32));
	put32(f, (uint32_t)ns);
}

void pcapng_begin(FILE *f, const char *program)
{
	uint16_t n = text_size(program), version[2] = {1, 0};
	uint32_t len = 28 + option_size(n) + 4;

	put32(f, BLOCK_SECTION);
	put32(f, len);
	put32(f, BYTE_ORDER_MAGIC);
	fwrite(version, 4, 1, f);
	put32(f, 0xffffffffu); /* the section's length: unknown */
	put32(f, 0xffffffffu);
	put_option(f, OPT_PROGRAM, program, n);
	put32(f, OPT_END);
	put32(f, len);
}

void pcapng_interface(FILE *f, uint16_t link, uint32_t snap, const char *name, const char *what)
{
	uint16_t n = text_size(name), w = text_size(what), kind[2] = {link, 0};
	uint32_t len = 20 + option_size(n) + option_size(w) + option_size(1) + 4;
	uint8_t nanoseconds = 9;

	put32(f, BLOCK_INTERFACE);
	put32(f, len);
	fwrite(kind, 4, 1, f);
	put32(f, snap);
	put_option(f, OPT_NAME, name, n);
	put_option(f, OPT_WHAT, what, w);
	put_option(f, OPT_RESOLUTION, &nanoseconds, 1);
	put32(f, OPT_END);
	put32(f, len);
}

void pcapng_packet(FILE *f, const struct pcapng_packet *p)
{
	uint32_t len = 32 + padded(p->kept) + option_size(4) + 4, way = p->out ? 2 : 1;

	put32(f, BLOCK_PACKET);
	put32(f, len);
	put32(f, p->interface);
	put_time(f, p->at_ns);
	put32(f, p->kept);
	put32(f, p->len);
	put_bytes(f, p->data, p->kept);
	put_option(f, OPT_FLAGS, &way, 4);
	put32(f, OPT_END);
	put32(f, len);
}

void pcapng_statistics(FILE *f, uint32_t interface, uint64_t at_ns, uint64_t taken, uint64_t lost)
{
	uint32_t len = 24 + 2 * option_size(8) + 4;

	put32(f, BLOCK_STATISTICS);
	put32(f, len);
	put32(f, interface);
	put_time(f, at_ns);
	put_option(f, OPT_RECEIVED, &taken, 8);
	put_option(f, OPT_DROPPED, &lost, 8);
	put32(f, OPT_END);
	put32(f, len);
}
