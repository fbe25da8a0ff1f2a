/* Trained heads as they lie in files: the tensors, and the choices that go with them
 * (model/head.h has both). For whoever writes a model (heads_model.h) or a re-ranker
 * that consists of heads.
 */
#ifndef OSPREY_LEARN_HEADS_FILE_H
#define OSPREY_LEARN_HEADS_FILE_H

#include "base/err.h"
#include "base/json.h"
#include "learn/head_data.h"
#include "learn/heads.h"
#include "model/safetensors.h"

#define HEADS_FILE_TENSORS (HEADS_PARAMS + 6)

/* What of a base's heads takes part in new ones. */
#define HEADS_FILE_CLASSES "conse.class_embeddings"
#define HEADS_FILE_VISUAL  "conse.visual_projection"

/* Tensors that are to be written, and the memory of those that are made here. */
struct heads_file {
    struct tensor tensors[HEADS_FILE_TENSORS];
    void         *owned[HEADS_FILE_TENSORS];
    size_t        n;
};

/* Both heads, matrices in half precision; text_dim: of a text's input, for heads that
 * were trained without texts. */
int  heads_file_add(struct heads_file *f, const struct heads *h, int text_dim, struct err *err);
/* A tensor of the base, which must outlive f; nothing where there is none. */
void heads_file_keep(struct heads_file *f, const struct safetensors *base, const char *name);
void heads_file_release(struct heads_file *f);

/* Sets the keys of the object "osprey" that say how the heads' tensors are used. base:
 * the base's own, some of which go on to hold. 0 or -1, as the setters of base/json.h. */
int heads_file_choices(struct jnode *o, const struct heads *h, const struct head_inputs *inputs,
                       const struct jnode *base);

#endif
