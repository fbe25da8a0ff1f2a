/* Copies in a library: see duplicates.h. */
#include "storage/duplicates.h"

#include "base/file.h"
#include "base/mem.h"
#include "image/formats.h"
#include "storage/duplicates_files.h"
#include "storage/duplicates_group.h"
#include "storage/duplicates_pairs.h"
#include "storage/library_fingerprints.h"

#include <stdlib.h>
#include <string.h>

#define PAGE       4096 /* pictures that are listed at once */
#define GROUP_MOST 1000 /* contents in one group; more alike ones make several */
#define ASK_EVERY  512  /* fingerprints, or groups, between two questions whether to go on */

const char *duplicate_kind_name(enum duplicate_kind kind)
{
    static const char *const names[] = {"identical", "same", "near", "keep"};
    return names[kind];
}

int duplicates_read_kinds(const char *name, const char *text, bool kinds[DUPLICATE_KINDS],
                          struct err *err)
{
    for (int k = 0; k < DUPLICATE_KINDS; k++)
        kinds[k] = !text;
    for (const char *p = text; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        size_t n    = strcspn(p, ",");
        int    kind = 0;
        while (kind < DUPLICATE_KINDS &&
               (strlen(duplicate_kind_name((enum duplicate_kind)kind)) != n ||
                strncmp(p, duplicate_kind_name((enum duplicate_kind)kind), n) != 0))
            kind++;
        if (kind == DUPLICATE_KINDS)
            return err_set(err, ERR_USAGE,
                           "%s takes identical, same and near, with commas, not '%.100s'", name,
                           text);
        kinds[kind] = true;
    }
    return 0;
}

int duplicates_check_share(const char *name, double value, struct err *err)
{
    return value > 0 && value <= 1
               ? 0
               : err_set(err, ERR_USAGE, "%s takes a number above 0 and up to 1, not %g", name,
                         value);
}

void duplicates_release(struct duplicates *d)
{
    for (size_t i = 0; i < d->n; i++)
        free(d->groups[i].members);
    free(d->groups);
    *d = (struct duplicates){0};
}

/* ---- The pictures ---- */

struct pictures {
    struct duplicate_picture *list; /* (n) by id */
    size_t                    n, room;
    uint32_t                 *content; /* (n): which content each has */
    uint32_t                 *first;   /* (contents + 1): where each content's pictures begin */
    uint32_t                 *members; /* (n): pictures by content, then by id */
};

static void pictures_release(struct pictures *p)
{
    free(p->list);
    free(p->content);
    free(p->first);
    free(p->members);
}

static int picture_add(struct pictures *p, const struct library_image *image, struct err *err)
{
    if (p->n == p->room) {
        size_t                    room  = p->room ? p->room * 2 : 1024;
        struct duplicate_picture *grown = mem_regrow(p->list, room, sizeof *grown);
        if (!grown || room > UINT32_MAX)
            return err_set(err, ERR_NOMEM, "out of memory for %zu pictures", room);
        p->list = grown;
        p->room = room;
    }
    struct duplicate_picture *q = &p->list[p->n++];
    *q                          = (struct duplicate_picture){.id       = image->id,
                                                             .size     = image->size,
                                                             .mtime_ns = image->mtime_ns,
                                                             .taken_at = image->taken_at,
                                                             .width    = image->width,
                                                             .height   = image->height,
                                                             .camera   = image->camera && *image->camera,
                                                             .parts    = image->pages > 1,
                                                             .colour   = true};
    memcpy(q->kind, image->kind, sizeof q->kind);
    memcpy(q->hash, image->hash, sizeof q->hash);
    return 0;
}

static int list_place(struct library *lib, const struct duplicates_options *o,
                      const struct library_filter *place, struct pictures *p, struct err *err)
{
    struct library_cursor after = {0};
    int                   rc    = 0;
    for (size_t n = PAGE; n == PAGE && !rc;) {
        struct library_image *images = NULL;
        rc = library_list(lib, place, LIBRARY_BY_ID, &after, PAGE, &images, &n, err);
        for (size_t i = 0; i < n && images; i++) {
            if (!rc)
                rc = picture_add(p, &images[i], err);
            after = (struct library_cursor){images[i].taken_at, images[i].id};
            library_image_release(&images[i]);
        }
        free(images);
        if (!rc && o->most && p->n > o->most)
            rc = err_set(err, ERR_LIMIT, "there are more than %zu pictures", o->most);
        if (!rc)
            rc = go_on_ask(&o->go_on, 0, err);
    }
    return rc;
}

static int by_id(const void *a, const void *b)
{
    const struct duplicate_picture *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int pictures_load(struct library *lib, const struct duplicates_options *o,
                         struct pictures *p, struct err *err)
{
    int    rc   = 0;
    size_t kept = 0;
    if (o->n_places == 0)
        rc = list_place(lib, o, NULL, p, err);
    for (size_t i = 0; i < o->n_places && !rc; i++)
        rc = list_place(lib, o, &o->places[i], p, err);
    if (rc || p->n == 0)
        return rc;
    qsort(p->list, p->n, sizeof *p->list, by_id);
    for (size_t i = 0; i < p->n; i++) /* places may overlap */
        if (kept == 0 || p->list[kept - 1].id != p->list[i].id)
            p->list[kept++] = p->list[i];
    p->n = kept;
    return 0;
}

/* ---- Their contents ---- */

static int by_content(const void *a, const void *b, void *ctx)
{
    const struct duplicate_picture *list = ctx;
    const struct duplicate_picture *x    = &list[*(const uint32_t *)a],
                                   *y    = &list[*(const uint32_t *)b];
    int order                            = memcmp(x->hash, y->hash, sizeof x->hash);
    if (order == 0)
        order = (x->size > y->size) - (x->size < y->size);
    return order ? order : by_id(x, y);
}

static bool same_content(const struct duplicate_picture *a, const struct duplicate_picture *b)
{
    return a->size == b->size && memcmp(a->hash, b->hash, sizeof a->hash) == 0;
}

/* Numbers the contents by their first picture, so that their ids ascend. */
static int contents_number(struct pictures *p, size_t *n, struct err *err)
{
    uint32_t *sorted = mem_array(p->n + 1, sizeof *sorted);
    uint32_t *lead = mem_array(p->n + 1, sizeof *lead); /* the first picture of the same content */
    *n             = 0;
    p->content     = mem_array(p->n + 1, sizeof *p->content);
    p->first       = mem_zeroed(p->n + 2, sizeof *p->first);
    p->members     = mem_array(p->n + 1, sizeof *p->members);
    if (!sorted || !lead || !p->content || !p->first || !p->members) {
        free(sorted);
        free(lead);
        return err_set(err, ERR_NOMEM, "out of memory for %zu pictures", p->n);
    }
    for (size_t i = 0; i < p->n; i++)
        sorted[i] = (uint32_t)i;
    if (p->n)
        qsort_r(sorted, p->n, sizeof *sorted, by_content, p->list);
    for (size_t i = 0; i < p->n; i++) {
        bool again      = i > 0 && same_content(&p->list[sorted[i - 1]], &p->list[sorted[i]]);
        lead[sorted[i]] = again ? lead[sorted[i - 1]] : sorted[i];
    }
    for (size_t i = 0; i < p->n; i++) {
        p->content[i] = lead[i] == i ? (uint32_t)(*n)++ : p->content[lead[i]];
        p->first[p->content[i] + 1]++;
    }
    for (size_t i = 0; i < *n; i++)
        p->first[i + 1] += p->first[i];
    for (size_t i = 0; i < p->n; i++) /* lead is free now: how many of each were placed */
        lead[i] = 0;
    for (size_t i = 0; i < p->n; i++)
        p->members[p->first[p->content[i]] + lead[p->content[i]]++] = (uint32_t)i;
    free(sorted);
    free(lead);
    return 0;
}

/* Scans of several pages that begin alike are no copies: what has parts is not looked at. */
static int fingerprints_load(struct library *lib, struct pictures *p, struct duplicate_pairs *pairs,
                             size_t *blind, struct err *err)
{
    int rc = 0;
    for (size_t c = 0; c < pairs->n && !rc; c++) {
        struct err                      why  = ERR_INIT;
        const struct duplicate_picture *lead = &p->list[p->members[p->first[c]]];
        uint8_t                        *to   = pairs->prints + c * FINGERPRINT_BYTES;
        pairs->ids[c]                        = lead->id;
        rc = lead->parts ? ERR_NOTFOUND : library_fingerprint_get(lib, lead->hash, to, &why);
        pairs->sees[c] = rc == 0;
        *blind += rc == ERR_NOTFOUND && !lead->parts && !format_names_video(lead->kind);
        for (uint32_t i = p->first[c]; i < p->first[c + 1] && rc == 0; i++)
            p->list[p->members[i]].colour = fingerprint_has_colour(to);
        rc = rc && rc != ERR_NOTFOUND ? err_set(err, why.code, "%s", why.msg) : 0;
        if (!rc && c % ASK_EVERY == 0)
            rc = go_on_ask(&pairs->options->go_on,
                           DUPLICATE_PAIRS_BEGIN * (double)c / (double)pairs->n, err);
    }
    return rc;
}

static int pairs_init(struct duplicate_pairs *pairs, struct library *lib,
                      const struct duplicates_options *o, size_t n, struct err *err)
{
    *pairs         = (struct duplicate_pairs){.lib = lib, .options = o, .n = n};
    pairs->ids     = mem_array(n + 1, sizeof *pairs->ids);
    pairs->prints  = mem_array(n + 1, FINGERPRINT_BYTES);
    pairs->sees    = mem_zeroed(n + 1, sizeof *pairs->sees);
    pairs->matches = mem_zeroed(n + 1, sizeof *pairs->matches);
    return pairs->ids && pairs->prints && pairs->sees && pairs->matches
               ? 0
               : err_set(err, ERR_NOMEM, "out of memory for %zu pictures", n);
}

static void pairs_release(struct duplicate_pairs *pairs)
{
    free(pairs->ids);
    free(pairs->prints);
    free(pairs->sees);
    free(pairs->matches);
}

/* ---- The groups ---- */

static int alike(void *ctx, uint32_t a, uint32_t b, struct err *err)
{
    const struct duplicate_pairs *pairs = ctx;
    float                         score;
    int                           rc = go_on_ask(&pairs->options->go_on, 1, err);
    if (rc)
        return rc;
    int kind = duplicate_pair_kind(pairs, a, b, &score, err);
    return kind < 0 ? kind : kind != DUPLICATE_KINDS;
}

static int by_likeness(const void *a, const void *b)
{
    const struct duplicates_member *x = a, *y = b;
    if (x->kind != y->kind) {
        if (x->kind == DUPLICATE_KEEP || y->kind == DUPLICATE_KEEP)
            return x->kind == DUPLICATE_KEEP ? -1 : 1;
        return x->kind < y->kind ? -1 : 1;
    }
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* A group of pictures (n, by their places in p). */
static int group_make(const struct pictures *p, const struct duplicate_pairs *pairs,
                      const uint32_t *places, size_t n, struct duplicates_group *out,
                      struct err *err)
{
    const struct duplicate_picture **list = mem_array(n, sizeof *list);
    int                              rc   = 0;
    out->members                          = mem_array(n, sizeof *out->members);
    out->n                                = n;
    if (!list || !out->members) {
        free(list);
        return err_set(err, ERR_NOMEM, "out of memory for a group of %zu pictures", n);
    }
    for (size_t i = 0; i < n; i++)
        list[i] = &p->list[places[i]];
    size_t keep = duplicates_keep(list, n, &out->reason, out->why, sizeof out->why);
    for (size_t i = 0; i < n && !rc; i++) {
        struct duplicates_member *m = &out->members[i];
        uint32_t                  a = p->content[places[keep]], b = p->content[places[i]];
        *m = (struct duplicates_member){list[i]->id, DUPLICATE_IDENTICAL, 1};
        if (i == keep)
            m->kind = DUPLICATE_KEEP;
        else if (a != b) {
            int kind = duplicate_pair_kind(pairs, a, b, &m->score, err);
            rc       = kind < 0 ? kind : 0;
            m->kind  = kind < DUPLICATE_KINDS ? (enum duplicate_kind)kind : DUPLICATE_NEAR;
        }
    }
    qsort(out->members, n, sizeof *out->members, by_likeness);
    free(list);
    return rc;
}

/* Contents in order of their groups' least ones. */
static int by_group(const void *a, const void *b, void *ctx)
{
    const uint32_t *groups = ctx;
    uint32_t        x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (groups[x] != groups[y])
        return groups[x] < groups[y] ? -1 : 1;
    return (x > y) - (x < y);
}

static int groups_collect(struct pictures *p, const struct duplicate_pairs *pairs, uint32_t *groups,
                          struct duplicates *out, struct err *err)
{
    uint32_t *order  = mem_array(pairs->n + 1, sizeof *order);
    uint32_t *places = mem_array(p->n + 1, sizeof *places);
    int       rc     = 0;
    out->groups      = mem_zeroed(pairs->n + 1, sizeof *out->groups);
    if (!order || !places || !out->groups)
        rc = err_set(err, ERR_NOMEM, "out of memory for groups of %zu pictures", p->n);
    for (size_t i = 0; i < pairs->n && !rc; i++)
        order[i] = (uint32_t)i;
    if (!rc && pairs->n)
        qsort_r(order, pairs->n, sizeof *order, by_group, groups);
    for (size_t i = 0, end; i < pairs->n && !rc; i = end) {
        size_t n = 0;
        for (end = i; end < pairs->n && groups[order[end]] == groups[order[i]]; end++) {
            uint32_t from = p->first[order[end]], to = p->first[order[end] + 1];
            bool     all = pairs->options->kinds[DUPLICATE_IDENTICAL];
            for (uint32_t m = from; m < (all ? to : from + 1); m++)
                places[n++] = p->members[m];
        }
        if (n > 1)
            rc = duplicates_files(pairs->lib, p->list, places, &n, err);
        if (!rc && n > 1)
            rc = group_make(p, pairs, places, n, &out->groups[out->n++], err);
        if (!rc && n > 1 && out->n % ASK_EVERY == 0)
            rc = go_on_ask(&pairs->options->go_on, 1, err);
    }
    free(order);
    free(places);
    return rc;
}

int duplicates_find(struct library *lib, const struct duplicates_options *options,
                    struct duplicates *out, struct err *err)
{
    struct pictures        pictures = {0};
    struct duplicate_pairs pairs    = {0};
    struct duplicate_edge *edges    = NULL;
    uint32_t              *groups   = NULL;
    size_t                 n_edges = 0, contents = 0;
    bool                   looks = options->kinds[DUPLICATE_SAME] || options->kinds[DUPLICATE_NEAR];
    *out                         = (struct duplicates){0};
    int rc                       = pictures_load(lib, options, &pictures, err);
    if (!rc)
        rc = contents_number(&pictures, &contents, err);
    if (!rc)
        rc = pairs_init(&pairs, lib, options, contents, err);
    if (!rc && !(groups = mem_array(contents + 1, sizeof *groups)))
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu pictures", contents);
    if (!rc && looks)
        rc = fingerprints_load(lib, &pictures, &pairs, &out->blind, err);
    if (!rc && looks)
        rc = duplicate_pairs_find(&pairs, &edges, &n_edges, err);
    if (!rc)
        rc = duplicates_group(edges, n_edges, contents, GROUP_MOST, alike, &pairs, groups, err);
    if (!rc)
        rc = groups_collect(&pictures, &pairs, groups, out, err);
    out->pictures = pictures.n;
    free(edges);
    free(groups);
    pairs_release(&pairs);
    pictures_release(&pictures);
    if (rc)
        duplicates_release(out);
    return rc;
}

/* ---- What it depends on ---- */

int duplicates_basis(struct library *lib, const struct duplicates_options *options,
                     uint8_t out[HASH_BYTES], struct err *err)
{
    struct library_marks marks    = {0};
    struct pictures      pictures = {0};
    int                  rc       = library_marks(lib, &marks, err);
    if (!rc)
        rc = pictures_load(lib, options, &pictures, err);
    if (!rc)
        hash_bytes(&marks, sizeof marks, out);
    for (size_t i = 0; i < pictures.n && !rc; i++) {
        const struct duplicate_picture *p = &pictures.list[i];
        struct {
            uint8_t before[HASH_BYTES], contents[LIBRARY_HASH_BYTES];
            int64_t numbers[7];
        } row = {
            .numbers = {p->id, p->size, p->mtime_ns, p->taken_at, p->width, p->height, p->camera}};
        memcpy(row.before, out, sizeof row.before);
        memcpy(row.contents, p->hash, sizeof row.contents);
        hash_bytes(&row, sizeof row, out);
    }
    pictures_release(&pictures);
    return rc;
}

/* ---- Members with their entries ---- */

void duplicates_pictures_free(struct duplicates_picture *pictures, size_t n)
{
    for (size_t i = 0; i < n && pictures; i++) {
        library_image_release(&pictures[i].image);
        free(pictures[i].path);
    }
    free(pictures);
}

int duplicates_pictures(struct library *lib, const struct duplicates_group *group, size_t most,
                        struct duplicates_picture **out, size_t *n, struct err *err)
{
    size_t                     room = group->n < most ? group->n : most, kept = 0;
    struct duplicates_picture *list = mem_zeroed(room, sizeof *list);
    int                        rc   = list ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    *out                            = NULL;
    *n                              = 0;
    for (size_t i = 0; i < group->n && kept < room && !rc; i++) {
        struct err                      why  = ERR_INIT;
        const struct duplicates_member *m    = &group->members[i];
        struct duplicates_picture      *p    = &list[kept];
        int                             gone = library_image_get(lib, m->id, &p->image, &why);
        if (gone == ERR_NOTFOUND && i > 0) /* meanwhile */
            continue;
        if (gone == ERR_NOTFOUND)
            break;
        if (gone) {
            rc = err_set(err, why.code, "%s", why.msg);
            break;
        }
        p->path  = path_join(p->image.folder, p->image.path);
        p->kind  = m->kind;
        p->score = m->score;
        kept++;
        if (!p->path)
            rc = err_set(err, ERR_NOMEM, "out of memory");
    }
    if (rc || kept < 2) {
        duplicates_pictures_free(list, kept);
        return rc;
    }
    *out = list;
    *n   = kept;
    return 0;
}
