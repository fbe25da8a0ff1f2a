/* The base of the vector index, over FAISS's C API.
 *
 * All kinds keep vectors as halves (SQfp16), exactly what the catalogue stores (lists too:
 * not what is left beside their centroid), so that their scores differ from exact ones by
 * the order of summing alone; HNSW and IVF
 * may miss neighbours, never misjudge them. FAISS knows the Manhattan distance of
 * floats alone: there the flat kind takes twice the memory.
 *
 * Mapping: FAISS maps flat and HNSW data with its flag 1 << 9 and inverted lists
 * with 0x646f0000 | 8 (index_io.h; the C API's own constant is out of date).
 * Mapped inverted lists start 32 threads a query to read ahead, so IVF is
 * searched in its two halves, which leaves that out.
 */
#include "storage/vindex.h"

#include "base/file.h"
#include "base/mem.h"
#include "storage/vindex_trailer.h"

#include <faiss/c_api/AutoTune_c.h>
#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/IndexIVF_c.h>
#include <faiss/c_api/IndexScalarQuantizer_c.h>
#include <faiss/c_api/MetaIndexes_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>

#include <omp.h>

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_MAPPED_CODES (1 << 9)
#define READ_MAPPED_LISTS (0x646f0000 | 8)
#define EF_CONSTRUCTION   80
#define EF_SEARCH         128
#define EF_GLANCE         48
#define TRAINING_PER_LIST 48
#define LEAST_LISTS       8
#define FAR_LIST          0.3F /* of the best centroid's score */
#define LEAST_SHARE       16
#define SMALL_BUILD       5000 /* vectors */

struct vindex {
    FaissIndex        *map;   /* the IDMap; owns the rest */
    FaissIndex        *inner; /* what it wraps */
    FaissIndexIVF     *ivf;   /* inner, or NULL */
    bool               has_positions;
    struct vindex_info info;
    struct vindex_file file;
};

const char *vindex_kind_name(enum vindex_kind kind)
{
    static const char *const names[] = {"flat", "hnsw", "ivf"};
    return names[kind];
}

static int faiss_fail(const char *doing, const char *what, struct err *err)
{
    const char *why = faiss_get_last_error();
    return err_set(err, ERR_FAILED, "vector index: cannot %s%s%s: %s", doing, *what ? " " : "",
                   what, why ? why : "FAISS gives no reason");
}

static int set_parameter(struct vindex *ix, const char *name, double value, struct err *err)
{
    FaissParameterSpace *space = NULL;
    int                  rc    = faiss_ParameterSpace_new(&space);
    if (rc == 0)
        rc = faiss_ParameterSpace_set_index_parameter(space, ix->map, name, value);
    if (space)
        faiss_ParameterSpace_free(space);
    return rc ? faiss_fail("set", name, err) : 0;
}

static FaissMetricType faiss_metric(enum vindex_metric metric)
{
    return metric == VINDEX_MANHATTAN ? METRIC_L1 : METRIC_INNER_PRODUCT;
}

static int take_apart(struct vindex *ix, struct err *err)
{
    FaissIndexIDMap *map = faiss_IndexIDMap_cast(ix->map);
    if (!map)
        return err_set(err, ERR_DAMAGED, "vector index: not an index with ids");
    ix->inner = faiss_IndexIDMap_sub_index(map);
    ix->ivf   = faiss_IndexIVF_cast(ix->inner);
    return 0;
}

/* ---- The file ---- */

/* Has FAISS read the file that fd is, even when path names a newer one by now. */
static int read_index(struct vindex *ix, int fd, const char *path, int flags, struct err *err)
{
    char name[64];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    if (faiss_read_index_fname(name, flags, &ix->map) == 0)
        return take_apart(ix, err);
    const char *why = faiss_get_last_error();
    return vindex_damaged(path, why ? why : "unreadable", err);
}

int vindex_open(const char *path, bool to_grow, struct vindex **out, struct err *err)
{
    struct vindex_trailer t;
    struct vindex_file    file;
    struct vindex        *ix = NULL;
    int                   fd, rc = vindex_trailer_open(path, to_grow, &fd, &t, &file, err);
    if (rc)
        return rc;
    if (!(ix = mem_zeroed(1, sizeof(*ix))))
        rc = err_set(err, ERR_NOMEM, "cannot open vector index %s: out of memory", path);
    if (rc == 0) {
        vindex_trailer_info(&t, &ix->info);
        ix->file  = file;
        int flags = to_grow                       ? 0
                    : ix->info.kind == VINDEX_IVF ? READ_MAPPED_LISTS
                                                  : READ_MAPPED_CODES;
        rc        = read_index(ix, fd, path, flags, err);
    }
    close(fd);
    if (rc == 0 &&
        (faiss_Index_ntotal(ix->map) != t.count || faiss_Index_d(ix->map) != (int)t.dim ||
         (ix->info.kind == VINDEX_IVF) != (ix->ivf != NULL) ||
         faiss_Index_metric_type(ix->map) != faiss_metric(ix->info.metric)))
        rc = vindex_damaged(path, "it is not what its end says", err);
    if (rc) {
        vindex_free(ix);
        return rc;
    }
    *out = ix;
    return 0;
}

void vindex_free(struct vindex *ix)
{
    if (!ix)
        return;
    if (ix->map)
        faiss_Index_free(ix->map);
    free(ix);
}

const struct vindex_info *vindex_info(const struct vindex *ix)
{
    return &ix->info;
}

struct vindex_file vindex_file_of(const struct vindex *ix)
{
    return ix->file;
}

int vindex_write(struct vindex *ix, const char *path, int64_t seq, int64_t stamp,
                 const char *model_hash, struct err *err)
{
    size_t n     = strlen(path) + 8;
    char  *aside = mem_array(n, 1);
    FILE  *f     = NULL;
    if (!aside)
        return err_set(err, ERR_NOMEM, "cannot write %s: out of memory", path);
    snprintf(aside, n, "%s.aside", path);
    ix->info.seq   = seq;
    ix->info.stamp = stamp;
    snprintf(ix->info.model_hash, sizeof(ix->info.model_hash), "%s", model_hash);
    int rc = 0;
    if (!(f = fopen(aside, "wbe")))
        rc = err_set(err, ERR_IO, "cannot create %s: %s", aside, strerror(errno));
    if (rc == 0 && faiss_write_index(ix->map, f) != 0)
        rc = faiss_fail("write", aside, err);
    if (rc == 0 && fflush(f) != 0)
        rc = err_set(err, ERR_IO, "cannot write %s: %s", aside, strerror(errno));
    if (rc == 0)
        rc = vindex_trailer_write(&ix->info, f, aside, err);
    if (f && fclose(f) != 0 && rc == 0)
        rc = err_set(err, ERR_IO, "cannot write %s: %s", aside, strerror(errno));
    if (rc == 0 && rename(aside, path) != 0)
        rc = err_set(err, ERR_IO, "cannot rename %s to %s: %s", aside, path, strerror(errno));
    if (rc == 0)
        rc = file_sync_parent(path, err);
    else
        unlink(aside);
    free(aside);
    return rc;
}

/* ---- Building ---- */

/* Lists for n entries: 2 sqrt(n), so that a search looks at two percent; but not
 * more than k-means can place with n points (FAISS asks for 39 each). */
static int64_t list_count(int64_t n)
{
    int64_t lists = 1;
    while (lists < (int64_t)(2 * sqrt((double)n)) && lists < 65536 && lists * 2 * 39 <= n)
        lists *= 2;
    return lists;
}

/* In words of FAISS's factory. */
static int make_plain(struct vindex *ix, struct err *err)
{
    const char *what = ix->info.metric == VINDEX_MANHATTAN ? "IDMap,Flat"
                       : ix->info.kind == VINDEX_HNSW      ? "IDMap,HNSW32_SQfp16"
                                                           : "IDMap,SQfp16";
    return faiss_index_factory(&ix->map, ix->info.dim, what, faiss_metric(ix->info.metric))
               ? faiss_fail("make", what, err)
               : 0;
}

/* The factory's lists keep the halves of what is left beside the centroid; these keep the
 * vectors' own, which are the catalogue's. */
static int make_lists(struct vindex *ix, struct err *err)
{
    size_t                        lists    = (size_t)list_count(ix->info.trained);
    FaissIndexFlatIP             *coarse   = NULL;
    FaissIndexIVFScalarQuantizer *inverted = NULL;
    FaissIndexIDMap              *map      = NULL;
    int                           dim      = ix->info.dim;
    if (faiss_IndexFlatIP_new_with(&coarse, dim) ||
        faiss_IndexIVFScalarQuantizer_new_with_metric(&inverted, coarse, (size_t)dim, lists,
                                                      QT_fp16, METRIC_INNER_PRODUCT, 0) ||
        faiss_IndexIDMap_new(&map, inverted)) {
        int rc = faiss_fail("make", "inverted lists", err);
        if (inverted)
            faiss_Index_free(inverted);
        if (coarse)
            faiss_Index_free(coarse);
        return rc;
    }
    faiss_IndexIVFScalarQuantizer_set_own_fields(inverted, 1);
    faiss_IndexIDMap_set_own_fields(map, 1);
    ix->map = map;
    return 0;
}

int vindex_new(enum vindex_kind kind, enum vindex_metric metric, int dim, int64_t expected,
               struct vindex **out, struct err *err)
{
    if (metric == VINDEX_MANHATTAN && kind != VINDEX_FLAT)
        return err_set(err, ERR_USAGE, "there is no %s index of Manhattan distances",
                       vindex_kind_name(kind));
    struct vindex *ix = mem_zeroed(1, sizeof(*ix));
    if (!ix)
        return err_set(err, ERR_NOMEM, "cannot make a vector index: out of memory");
    ix->info.kind    = kind;
    ix->info.metric  = metric;
    ix->info.dim     = dim;
    ix->info.trained = expected > 0 ? expected : 1;
    int rc           = kind == VINDEX_IVF ? make_lists(ix, err) : make_plain(ix, err);
    if (rc == 0)
        rc = take_apart(ix, err);
    if (rc == 0 && kind == VINDEX_HNSW)
        rc = set_parameter(ix, "efConstruction", EF_CONSTRUCTION, err);
    if (rc) {
        vindex_free(ix);
        return rc;
    }
    *out = ix;
    return 0;
}

size_t vindex_training_size(const struct vindex *ix)
{
    return ix->ivf ? faiss_IndexIVF_nlist(ix->ivf) * TRAINING_PER_LIST : 0;
}

/* For little work a team of threads costs more than it saves, on a busy machine
 * many times over. Returns what to give to threads_restore. */
static int threads_for(size_t vectors)
{
    int was = omp_get_max_threads();
    if (vectors < SMALL_BUILD)
        omp_set_num_threads(1);
    return was;
}

static void threads_restore(int was)
{
    omp_set_num_threads(was);
}

int vindex_train(struct vindex *ix, size_t n, const float *x, struct err *err)
{
    int was = threads_for(n);
    int rc  = faiss_Index_train(ix->map, (idx_t)n, x);
    threads_restore(was);
    return rc ? faiss_fail("train", "", err) : 0;
}

int vindex_add(struct vindex *ix, size_t n, const int64_t *ids, const float *x, struct err *err)
{
    int was = threads_for((size_t)ix->info.count + n);
    int rc  = 0;
    if (!faiss_Index_is_trained(ix->map)) /* halves need none, but FAISS wants the call */
        rc = faiss_Index_train(ix->map, (idx_t)n, x);
    if (rc == 0)
        rc = faiss_Index_add_with_ids(ix->map, (idx_t)n, x, ids);
    threads_restore(was);
    if (rc)
        return faiss_fail("add vectors", "", err);
    ix->info.count = faiss_Index_ntotal(ix->map);
    return 0;
}

static int64_t *id_map(const struct vindex *ix)
{
    idx_t *ids = NULL;
    size_t n   = 0;
    faiss_IndexIDMap_id_map(ix->map, &ids, &n);
    return ids;
}

void vindex_remove(struct vindex *ix, bool (*gone)(void *ctx, int64_t id), void *ctx)
{
    int64_t *ids = id_map(ix);
    for (int64_t i = 0; i < ix->info.count; i++) {
        if (ids[i] >= 0 && gone(ctx, ids[i])) {
            ids[i] = -1;
            ix->info.gone++;
        }
    }
}

/* ---- Searching ---- */

static size_t lists_to_probe(const struct vindex *ix, int effort)
{
    size_t lists = faiss_IndexIVF_nlist(ix->ivf);
    size_t probe = effort > 0 ? lists / 64 * (size_t)effort : 0;
    probe        = probe < LEAST_LISTS ? LEAST_LISTS : probe;
    return probe > lists ? lists : probe;
}

/* Of lists, best centroid first, those that can be worth a look: where the library falls
 * into clusters, a list whose centroid is so much further off than the nearest has none
 * of the query's. Where it does not, centroids' scores lie closer together than that.
 * What is looked at holds LEAST_SHARE times what is asked for, in any case. */
static size_t lists_worth(const struct vindex *ix, const idx_t *lists, const float *near, size_t n,
                          size_t fetch)
{
    size_t worth = 0, entries = 0;
    float  far = near[0] - (1 - FAR_LIST) * fabsf(near[0]);
    while (worth < n && lists[worth] >= 0 && (entries < LEAST_SHARE * fetch || near[worth] > far))
        entries += faiss_IndexIVF_get_list_size(ix->ivf, (size_t)lists[worth++]);
    return worth;
}

/* prune: leave lists out that are not worth a look. */
static int search_lists(const struct vindex *ix, const float *query, size_t fetch, size_t probe,
                        bool prune, int64_t *ids, float *scores, struct err *err)
{
    idx_t *assign = mem_array(probe, sizeof(*assign));
    float *near   = mem_array(probe, sizeof(*near));
    int    rc     = 0;
    if (!assign || !near)
        rc = err_set(err, ERR_NOMEM, "cannot search the vector index: out of memory");
    if (rc == 0 && faiss_Index_search(faiss_IndexIVF_quantizer(ix->ivf), 1, query, (idx_t)probe,
                                      near, assign) != 0)
        rc = faiss_fail("search", "", err);
    for (size_t i = rc == 0 && prune ? lists_worth(ix, assign, near, probe, fetch) : probe;
         i < probe; i++)
        assign[i] = -1; /* FAISS passes it over */
    if (rc == 0 && faiss_IndexIVF_search_preassigned(ix->ivf, 1, query, (idx_t)fetch, assign, near,
                                                     scores, ids, 0) != 0)
        rc = faiss_fail("search", "", err);
    free(assign);
    free(near);
    return rc;
}

/* What searches of that effort need set, before any of them begins. */
static int set_effort(struct vindex *ix, size_t fetch, int effort, struct err *err)
{
    if (ix->info.kind == VINDEX_IVF)
        faiss_IndexIVF_set_nprobe(ix->ivf, lists_to_probe(ix, effort));
    if (ix->info.kind != VINDEX_HNSW)
        return 0;
    size_t least = effort > 0 ? EF_SEARCH : EF_GLANCE;
    size_t ef    = fetch > least ? fetch : least;
    return set_parameter(ix, "efSearch", (double)ef * (effort > 0 ? effort : 1), err);
}

/* One query, in this thread. */
static int search_one(const struct vindex *ix, const float *query, size_t fetch, int effort,
                      int64_t *ids, int64_t *positions, float *scores, size_t *n, struct err *err)
{
    int rc = 0;
    if (ix->info.kind == VINDEX_IVF)
        rc = search_lists(ix, query, fetch, lists_to_probe(ix, effort), effort <= 1, ids, scores,
                          err);
    else if (faiss_Index_search(ix->inner, 1, query, (idx_t)fetch, scores, ids) != 0)
        rc = faiss_fail("search", "", err);
    *n = 0;
    if (rc)
        return rc;
    const int64_t *map = id_map(ix);
    for (size_t i = 0; i < fetch; i++) {
        if (ids[i] < 0 || ids[i] >= ix->info.count || map[ids[i]] < 0)
            continue;
        if (positions)
            positions[*n] = ids[i];
        ids[*n]    = map[ids[i]];
        scores[*n] = ix->info.metric == VINDEX_MANHATTAN ? -scores[i] : scores[i];
        ++*n;
    }
    return 0;
}

int vindex_search(struct vindex *ix, const float *query, size_t fetch, int effort, int64_t *ids,
                  int64_t *positions, float *scores, size_t *n, struct err *err)
{
    *n    = 0;
    fetch = fetch > (size_t)ix->info.count ? (size_t)ix->info.count : fetch;
    if (fetch == 0)
        return 0;
    int was = threads_for(1);
    int rc  = set_effort(ix, fetch, effort, err);
    if (rc == 0)
        rc = search_one(ix, query, fetch, effort, ids, positions, scores, n, err);
    threads_restore(was);
    return rc;
}

int vindex_search_many(struct vindex *ix, const float *queries, size_t n, size_t fetch, int effort,
                       int64_t *ids, float *scores, struct err *err)
{
    size_t ask = fetch > (size_t)ix->info.count ? (size_t)ix->info.count : fetch;
    int    rc  = ask > 0 ? set_effort(ix, ask, effort, err) : 0;
    int    bad = 0;
    if (rc)
        return rc;
#pragma omp parallel for schedule(dynamic, 16) if (n >= 32)
    for (size_t i = 0; i < n; i++) {
        struct err why = ERR_INIT; /* one of them is told below */
        size_t     got = 0;
        if (ask > 0 && search_one(ix, queries + i * (size_t)ix->info.dim, ask, effort,
                                  ids + i * fetch, NULL, scores + i * fetch, &got, &why)) {
#pragma omp critical(vindex_search_many)
            {
                if (!bad && err)
                    *err = why;
                bad = why.code;
            }
        }
        for (; got < fetch; got++)
            ids[i * fetch + got] = -1;
    }
    return bad;
}

const int64_t *vindex_ids(const struct vindex *ix)
{
    return id_map(ix);
}

static int read_back(struct vindex *ix, int64_t from, int64_t n, float *out, struct err *err)
{
    if (!ix->ivf)
        return faiss_Index_reconstruct_n(ix->inner, from, n, out)
                   ? faiss_fail("read vectors back", "", err)
                   : 0;
    /* Inverted lists know no positions until asked to; reading a range would walk
     * all of them each time. */
    int rc            = ix->has_positions ? 0 : faiss_IndexIVF_make_direct_map(ix->ivf, 1);
    ix->has_positions = rc == 0;
    if (rc) /* what is there of it must not pass for all of it */
        (void)faiss_IndexIVF_make_direct_map(ix->ivf, 0);
    for (int64_t i = 0; i < n && rc == 0; i++)
        rc = faiss_Index_reconstruct(ix->inner, from + i, out + i * ix->info.dim);
    return rc ? faiss_fail("read vectors back", "", err) : 0;
}

int vindex_vectors(struct vindex *ix, int64_t from, int64_t n, float *out, struct err *err)
{
    int was = threads_for((size_t)n);
    int rc  = read_back(ix, from, n, out, err);
    threads_restore(was);
    return rc;
}
