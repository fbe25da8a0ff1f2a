/* One column of a Parquet file, page by page and row by row (parquet.h). The numbers of fields are
 * those of PageHeader and what it holds in parquet.thrift; a value is its length in 4 bytes, the
 * lowest first, and its bytes ("PLAIN"), or a number in the dictionary, which comes first in a
 * row group's part of the column, as such values. */
#include "cli/parquet.h"
#include "cli/parquet_parts.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum page_kind { PAGE_DATA = 0, PAGE_INDEX = 1, PAGE_DICTIONARY = 2, PAGE_DATA_2 = 3 };
enum { PLAIN = 0, PLAIN_DICTIONARY = 2, RLE = 3, RLE_DICTIONARY = 8 };

struct bytes {
    const uint8_t *at, *end;
};

/* A page's bytes: in the file, or uncompressed in a block of its own. */
struct page {
    uint8_t *block; /* kept for the next page */
    size_t   room;
    size_t   left; /* values not yet given, nulls among them */
};

struct parquet_column {
    const struct parquet *file;
    char                 *name;
    bool                  optional;
    struct parquet_chunk *chunks;
    size_t                n_chunks, chunk; /* chunk: the one read now, from 1; 0 before the first */
    const uint8_t        *at;              /* the next page */
    const uint8_t        *header;          /* of the page read now, for messages */
    size_t                chunk_left;      /* values in the pages that are to come */

    struct page         dictionary, page;
    const uint8_t     **words; /* in the dictionary, each with its length before it */
    size_t              n_words;
    struct parquet_runs defined, indices; /* of the page */
    bool                has_nulls, by_index;
    struct bytes        plain; /* of the page */
};

struct header {
    int64_t kind, size, packed, values; /* size, packed: bytes, uncompressed and as it lies there */
    int64_t encoding, levels;           /* levels: their encoding, of version 1 */
    int64_t level_bytes, repeat_bytes;  /* of version 2 */
    int64_t crc;
    bool    has_crc, plain; /* plain: not compressed, of version 2 */
};

/* ---- A page's header ---- */

static void read_kind(struct thrift *t, const struct thrift_field *outer, struct header *h)
{
    struct thrift_field f  = {0};
    bool                v2 = outer->id == 8;
    thrift_struct(t, outer);
    while (thrift_next(t, &f)) {
        if (f.id == 1)
            h->values = thrift_int(t, &f);
        else if (f.id == (v2 ? 4 : 2))
            h->encoding = thrift_int(t, &f);
        else if (f.id == 3 && outer->id == 5)
            h->levels = thrift_int(t, &f);
        else if (f.id == 5 && v2)
            h->level_bytes = thrift_int(t, &f);
        else if (f.id == 6 && v2)
            h->repeat_bytes = thrift_int(t, &f);
        else if (f.id == 7 && v2)
            h->plain = !thrift_bool(t, &f);
        else
            thrift_skip(t, &f);
    }
}

static int read_header(struct parquet_column *c, struct header *h, struct err *err)
{
    static const int    part[] = {5, 6, 7, 8}; /* the field that belongs to a kind of page */
    const struct thrift from   = {.at = c->at, .end = c->chunks[c->chunk - 1].end};
    struct thrift       t      = from;
    struct thrift_field f      = {0};
    int                 parts  = 0;
    *h = (struct header){.kind = -1, .size = -1, .packed = -1, .values = -1, .encoding = -1};
    while (thrift_next(&t, &f)) {
        if (f.id == 1) {
            h->kind = thrift_int(&t, &f);
        } else if (f.id == 2) {
            h->size = thrift_int(&t, &f);
        } else if (f.id == 3) {
            h->packed = thrift_int(&t, &f);
        } else if (f.id == 4) {
            h->crc     = thrift_int(&t, &f);
            h->has_crc = true;
        } else if (h->kind >= 0 && h->kind < 4 && f.id == part[h->kind] && f.id != 6) {
            read_kind(&t, &f, h);
            parts++;
        } else {
            thrift_skip(&t, &f);
        }
    }
    c->at = t.at;
    if (t.why)
        return err_set(err, ERR_FORMAT, "a page's header cannot be read: %s", t.why);
    if (h->kind < 0 || h->kind > PAGE_DATA_2 || (parts != 1 && h->kind != PAGE_INDEX))
        return err_set(err, ERR_FORMAT, "a page is of no kind there is");
    if (h->packed < 0 || h->packed > t.end - t.at)
        return err_set(err, ERR_FORMAT, "a page of %lld bytes is longer than what holds it",
                       (long long)h->packed);
    if (h->size < 0 || (uint64_t)h->size > PARQUET_MOST_PAGE)
        return err_set(err, ERR_LIMIT, "a page of %lld bytes is more than the limit of %zu",
                       (long long)h->size, PARQUET_MOST_PAGE);
    if (h->kind != PAGE_INDEX && h->values < 0)
        return err_set(err, ERR_FORMAT, "a page does not say how many values it has");
    if (h->has_crc && (uint32_t)h->crc != parquet_crc(t.at, (size_t)h->packed))
        return err_set(err, ERR_FORMAT, "a page is damaged: its checksum is another one");
    return 0;
}

/* ---- A page's contents ---- */

/* n bytes as they lie there, size uncompressed. */
static int unpack(struct parquet_column *c, struct page *page, bool plain, struct bytes in,
                  size_t size, struct bytes *out, struct err *err)
{
    enum parquet_codec codec = c->chunks[c->chunk - 1].codec;
    size_t             n     = (size_t)(in.end - in.at);
    *out                     = in;
    if (plain || codec == PARQUET_NONE)
        return n == size ? 0
                         : err_set(err, ERR_FORMAT, "a page has two sizes: %zu and %zu", n, size);
    if (!page->block || page->room < size) {
        free(page->block);
        page->room  = 0;
        page->block = mem_array(size + 1, 1); /* one more: never none */
        if (!page->block)
            return err_set(err, ERR_NOMEM, "out of memory for a page of %zu bytes", size);
        page->room = size;
    }
    *out = (struct bytes){.at = page->block, .end = page->block + size};
    if (size == 0 && n == 0)
        return 0;
    return parquet_decompress(codec, in.at, n, page->block, size, err);
}

/* A value with its length before it; moves on. */
static bool take_plain(struct bytes *b, const uint8_t **value, size_t *n)
{
    if (b->end - b->at < 4)
        return false;
    uint32_t len = parquet_le32(b->at);
    if (len > (size_t)(b->end - b->at) - 4)
        return false;
    *value = b->at + 4;
    *n     = len;
    b->at += 4 + (size_t)len;
    return true;
}

static int take_dictionary(struct parquet_column *c, const struct header *h, struct bytes in,
                           struct err *err)
{
    struct bytes b;
    size_t       n = (size_t)h->values;
    if (c->words || c->chunk_left != c->chunks[c->chunk - 1].values)
        return err_set(err, ERR_FORMAT, "it has a dictionary that does not come first");
    if (h->encoding != PLAIN && h->encoding != PLAIN_DICTIONARY)
        return err_set(err, ERR_UNSUPPORTED, "its dictionary's encoding (%lld) isn't read",
                       (long long)h->encoding);
    int rc = unpack(c, &c->dictionary, false, in, (size_t)h->size, &b, err);
    if (rc)
        return rc;
    if (n > (size_t)h->size / 4) /* each has a length of 4 bytes */
        return err_set(err, ERR_FORMAT, "its dictionary is too short for %zu values", n);
    c->words = mem_array(n, sizeof *c->words);
    if (!c->words)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (c->n_words = 0; c->n_words < n; c->n_words++) {
        const uint8_t *value;
        size_t         len;
        c->words[c->n_words] = b.at;
        if (!take_plain(&b, &value, &len))
            return err_set(err, ERR_FORMAT, "its dictionary is cut off in value %zu of %zu",
                           c->n_words, n);
    }
    return 0;
}

/* What of the values is there at all: the definition levels, of 1 bit. */
static int take_levels(struct parquet_column *c, const struct header *h, struct bytes *b,
                       struct err *err)
{
    size_t n = (size_t)(b->end - b->at), len = 0;
    c->has_nulls = c->optional;
    if (!c->optional)
        return 0;
    if (h->levels != RLE)
        return err_set(err, ERR_UNSUPPORTED, "its definition levels' encoding (%lld) isn't read",
                       (long long)h->levels);
    if (n < 4 || (len = parquet_le32(b->at)) > n - 4)
        return err_set(err, ERR_FORMAT, "a page's definition levels are cut off");
    parquet_runs_init(&c->defined, b->at + 4, b->at + 4 + len, 1);
    b->at += 4 + len;
    return 0;
}

/* In version 2 they lie before what is compressed, and their length in the header. */
static int take_levels_2(struct parquet_column *c, struct header *h, struct bytes *in,
                         struct err *err)
{
    if (h->level_bytes < 0 || h->level_bytes > in->end - in->at || h->level_bytes > h->size ||
        h->repeat_bytes != 0)
        return err_set(err, ERR_FORMAT, "a page's levels are not as long as they should be");
    c->has_nulls = c->optional;
    parquet_runs_init(&c->defined, in->at, in->at + h->level_bytes, 1);
    in->at += h->level_bytes;
    h->size -= h->level_bytes;
    return 0;
}

static int take_data(struct parquet_column *c, struct header *h, struct bytes in, struct err *err)
{
    bool         v2 = h->kind == PAGE_DATA_2;
    struct bytes b;
    if ((size_t)h->values > c->chunk_left)
        return err_set(err, ERR_FORMAT, "its pages have more values than there are rows");
    int rc = v2 ? take_levels_2(c, h, &in, err) : 0;
    if (!rc)
        rc = unpack(c, &c->page, h->plain, in, (size_t)h->size, &b, err);
    if (!rc && !v2)
        rc = take_levels(c, h, &b, err);
    if (rc)
        return rc;
    c->by_index = h->encoding == RLE_DICTIONARY || h->encoding == PLAIN_DICTIONARY;
    if (!c->by_index && h->encoding != PLAIN)
        return err_set(err, ERR_UNSUPPORTED,
                       "its encoding (%lld) isn't read; pandas' to_parquet writes plain ones, "
                       "unless it is told otherwise",
                       (long long)h->encoding);
    if (c->by_index && !c->words)
        return err_set(err, ERR_FORMAT, "it has no dictionary, but numbers of one");
    if (c->by_index && b.at < b.end) { /* there are none where all is null */
        unsigned width = *b.at++;
        if (width > 32)
            return err_set(err, ERR_FORMAT, "its numbers have %u bits", width);
        parquet_runs_init(&c->indices, b.at, b.end, width);
    } else {
        parquet_runs_init(&c->indices, b.at, b.at, 0);
    }
    c->plain     = b;
    c->page.left = (size_t)h->values;
    c->chunk_left -= (size_t)h->values;
    return 0;
}

static int next_page(struct parquet_column *c, struct err *err)
{
    struct header h;
    c->header = c->at;
    if (c->at == c->chunks[c->chunk - 1].end)
        return err_set(err, ERR_FORMAT, "%zu values of its pages are missing", c->chunk_left);
    int rc = read_header(c, &h, err);
    if (rc)
        return rc;
    struct bytes in = {.at = c->at, .end = c->at + h.packed};
    c->at           = in.end;
    if (h.kind == PAGE_DICTIONARY)
        return take_dictionary(c, &h, in, err);
    return h.kind == PAGE_INDEX ? 0 : take_data(c, &h, in, err);
}

/* ---- Row by row ---- */

static int take_value(struct parquet_column *c, const char **value, size_t *n, struct err *err)
{
    const uint8_t *found   = NULL;
    uint32_t       defined = 1, index = 0;
    c->page.left--;
    if (c->has_nulls && (!parquet_runs_next(&c->defined, &defined) || defined > 1))
        return err_set(err, ERR_FORMAT, "a page's definition levels are cut off or broken");
    if (!defined)
        return 0;
    if (!c->by_index) {
        if (!take_plain(&c->plain, &found, n))
            return err_set(err, ERR_FORMAT, "a page is cut off in a value");
    } else {
        if (!parquet_runs_next(&c->indices, &index))
            return err_set(err, ERR_FORMAT, "a page has too few numbers of its dictionary");
        if (index >= c->n_words)
            return err_set(err, ERR_FORMAT, "a page has number %u of a dictionary of %zu", index,
                           c->n_words);
        *n    = parquet_le32(c->words[index]);
        found = c->words[index] + 4;
    }
    *value = (const char *)found;
    return 0;
}

int parquet_column_next(struct parquet_column *c, const char **value, size_t *n, struct err *err)
{
    int rc = 0;
    *value = NULL;
    *n     = 0;
    while (!rc && c->page.left == 0) {
        if (c->chunk_left > 0) {
            rc = next_page(c, err);
            continue;
        }
        if (c->chunk == c->n_chunks)
            return 0;
        c->at         = c->chunks[c->chunk].begin;
        c->header     = c->at;
        c->chunk_left = c->chunks[c->chunk].values;
        c->chunk++;
        free(c->words);
        c->words   = NULL;
        c->n_words = 0;
    }
    if (!rc)
        rc = take_value(c, value, n, err);
    if (!rc)
        return 1;
    return err_prefix(err, "column %s, row group %zu, page at byte %zu", c->name, c->chunk - 1,
                      (size_t)(c->header - c->file->map.data));
}

int parquet_column_open(const struct parquet *p, const char *name, struct parquet_column **out,
                        struct err *err)
{
    const struct parquet_leaf *leaf = parquet_leaf(p, name);
    if (!leaf)
        return err_set(err, ERR_NOTFOUND, "%s has no column %s", p->path, name);
    if (leaf->nested || leaf->type != PARQUET_BYTE_ARRAY)
        return err_set(err, ERR_UNSUPPORTED, "cannot read %s: its column %s is not of text",
                       p->path, name);
    struct parquet_column *c = mem_zeroed(1, sizeof *c);
    if (!c || !(c->name = mem_strdup(name))) {
        free(c);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    c->file     = p;
    c->optional = leaf->optional;
    c->n_chunks = p->n_groups;
    int rc      = parquet_chunks(p, leaf, &c->chunks, err);
    if (rc) {
        parquet_column_close(c);
        return err_prefix(err, "cannot read %s: column %s", p->path, name);
    }
    *out = c;
    return 0;
}

void parquet_column_close(struct parquet_column *c)
{
    if (!c)
        return;
    free(c->dictionary.block);
    free(c->page.block);
    free(c->words);
    free(c->chunks);
    free(c->name);
    free(c);
}
