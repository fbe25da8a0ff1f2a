/* Parquet's compression and runs of numbers (parquet_parts.h): Compression.md and Encodings.md of
 * parquet-format. Snappy through its C interface, where the build has it; gzip (RFC 1952, more
 * than one member allowed) through zlib. */
#include "cli/parquet_parts.h"

#ifdef OSPREY_HAVE_SNAPPY
#include <snappy-c.h>
#endif
#include <zlib.h>

const char *parquet_codec_name(int codec)
{
    static const char *const names[] = {"none",   "Snappy", "gzip", "LZO",
                                        "Brotli", "LZ4",    "zstd", "LZ4"};
    return codec >= 0 && codec < (int)(sizeof names / sizeof *names) ? names[codec] : "unknown";
}

int parquet_codec_check(int codec, struct err *err)
{
#ifndef OSPREY_HAVE_SNAPPY
    if (codec == PARQUET_SNAPPY)
        return err_set(err, ERR_UNSUPPORTED,
                       "it is compressed with Snappy, and this Osprey was built without "
                       "libsnappy; pandas writes it anew with to_parquet(FILE, "
                       "compression='gzip')");
#endif
    if (codec == PARQUET_NONE || codec == PARQUET_SNAPPY || codec == PARQUET_GZIP)
        return 0;
    return err_set(err, ERR_UNSUPPORTED,
                   "its compression (codec %d: %s) isn't read; pandas writes it anew with "
                   "to_parquet(FILE, compression='snappy')",
                   codec, parquet_codec_name(codec));
}

#ifdef OSPREY_HAVE_SNAPPY
static bool unsnap(const uint8_t *in, size_t n, uint8_t *out, size_t out_n)
{
    size_t len = 0;
    return snappy_uncompressed_length((const char *)in, n, &len) == SNAPPY_OK && len == out_n &&
           snappy_uncompress((const char *)in, n, (char *)out, &len) == SNAPPY_OK && len == out_n;
}
#endif

/* Sizes are those of a page, which an unsigned int holds. */
static bool gunzip(const uint8_t *in, size_t n, uint8_t *out, size_t out_n)
{
    z_stream z = {0};
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
        return false;
    z.next_in   = (Bytef *)(uintptr_t)in;
    z.avail_in  = (uInt)n;
    z.next_out  = out;
    z.avail_out = (uInt)out_n;
    int rc;
    do {
        rc = inflate(&z, Z_FINISH);
    } while (rc == Z_STREAM_END && z.avail_in > 0 && inflateReset(&z) == Z_OK);
    bool good = rc == Z_STREAM_END && z.avail_out == 0;
    inflateEnd(&z);
    return good;
}

int parquet_decompress(enum parquet_codec codec, const uint8_t *in, size_t n, uint8_t *out,
                       size_t out_n, struct err *err)
{
    bool good = false;
    if (codec == PARQUET_GZIP)
        good = gunzip(in, n, out, out_n);
#ifdef OSPREY_HAVE_SNAPPY
    if (codec == PARQUET_SNAPPY)
        good = unsnap(in, n, out, out_n);
#endif
    return good ? 0
                : err_set(err, ERR_FORMAT, "%zu bytes of %s don't give the %zu promised", n,
                          parquet_codec_name((int)codec), out_n);
}

uint32_t parquet_crc(const uint8_t *bytes, size_t n)
{
    return (uint32_t)crc32(crc32(0, NULL, 0), bytes, (uInt)n);
}

/* ---- Runs ---- */

void parquet_runs_init(struct parquet_runs *r, const uint8_t *at, const uint8_t *end,
                       unsigned width)
{
    *r = (struct parquet_runs){.in = {.at = at, .end = end}, .width = width};
}

/* A run's head: a number whose lowest bit says which kind it is. */
static bool next_run(struct parquet_runs *r)
{
    struct thrift *in = &r->in;
    if (in->at == in->end)
        return false;
    uint64_t head = thrift_varint(in);
    uint64_t room = (uint64_t)(in->end - in->at);
    r->packed     = head & 1;
    if (in->why)
        return false;
    if (r->packed) { /* groups of eight, width bytes each */
        uint64_t groups = head >> 1;
        if (groups > UINT32_MAX || groups * r->width > room)
            return false;
        r->bits = in->at;
        r->bit  = 0;
        r->left = groups * 8;
        in->at += groups * r->width;
        return true;
    }
    unsigned bytes = (r->width + 7) / 8;
    if (bytes > room)
        return false;
    r->value = 0;
    for (unsigned i = 0; i < bytes; i++)
        r->value |= (uint32_t)*in->at++ << (8 * i);
    r->left = head >> 1;
    return true;
}

/* The lowest bit first. */
static uint32_t unpack(struct parquet_runs *r)
{
    uint64_t value = 0;
    for (unsigned got = 0; got < r->width;) {
        unsigned from = (unsigned)(r->bit % 8);
        value |= (uint64_t)(r->bits[r->bit / 8] >> from) << got;
        unsigned step = 8 - from < r->width - got ? 8 - from : r->width - got;
        got += step;
        r->bit += step;
    }
    return (uint32_t)(value & (((uint64_t)1 << r->width) - 1));
}

bool parquet_runs_next(struct parquet_runs *r, uint32_t *value)
{
    while (r->left == 0) {
        if (!next_run(r))
            return false;
    }
    r->left--;
    *value = r->packed ? unpack(r) : r->value;
    return true;
}
