/* Weights in the layout that the kernels read, made once and then mapped.
 *
 * Packing a model's matrices and folding its batch norms takes longer than a
 * search may. So what a tower derives from its checkpoint goes through this
 * door: the first time it is computed and kept in
 * $XDG_CACHE_HOME/osprey/prepared/ (a safetensors file, replaced atomically),
 * from then on it is mapped from there and shared between processes. The key
 * covers the model files' names, sizes, times, headers, a few samples of their
 * contents, and the layout's version. A cache that cannot be written costs only time; one that is
 * damaged is made again. Files unused for two months are removed.
 *
 * A tower's loading code is one path for both cases:
 *
 *     float *w;
 *     rc = prepared_floats(p, "vision.stem.weight", n, &w, err);
 *     if (rc) ...
 *     if (prepared_building(p)) fill(w);
 */
#ifndef OSPREY_MODEL_PREPARED_H
#define OSPREY_MODEL_PREPARED_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct prepared;

#define PREPARED_HEX 33 /* 32 digits and a NUL */

/* files: the n_files model files that the weights derive from. */
int prepared_open(const char *const *files, size_t n_files, struct prepared **out, struct err *err);
/* The same for one of several forms of the weights ("bf16"), each cached by
 * itself; prepared_open's is "f32". */
int prepared_open_as(const char *form, const char *const *files, size_t n_files,
                     struct prepared **out, struct err *err);
/* True while the floats that prepared_floats hands out are to be filled. */
bool prepared_building(const struct prepared *p);
/* n floats under a name, 64-byte aligned, valid until prepared_close; zeroed
 * and writable while building, else read-only. A mapped file that lacks the name
 * or has another size is an ERR_DAMAGED, on which the caller reopens with
 * prepared_discard. */
int  prepared_floats(struct prepared *p, const char *name, size_t n, float **out, struct err *err);
/* Ends building: hashes the model files, writes the cache. */
int  prepared_finish(struct prepared *p, struct err *err);
/* XXH3-128 of the model files' lengths and contents, in the order given, as 32
 * hex digits; valid once finished, "" before. */
const char *prepared_hash(const struct prepared *p);
/* The same of files that nothing is prepared from. It is cached like weights, so
 * that only the first call reads them whole. */
int         prepared_hash_files(const char *const *files, size_t n_files, char out[PREPARED_HEX],
                                struct err *err);
/* Forgets the cached file and turns to building. */
void        prepared_discard(struct prepared *p);
void        prepared_close(struct prepared *p); /* NULL-safe */

#endif
