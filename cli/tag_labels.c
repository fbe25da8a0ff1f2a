/* From words and examples to labels: see tag_labels.h.
 *
 * Words: a label's row is its text's embedding, not as a name (encoder_as_names): what a
 * head learned of captions tells labels better here. Examples: a label's row is that of a
 * linear probe fitted on the embeddings of its pictures. Each kind is calibrated over the
 * library's background alone; a label that has both goes by their sum.
 */
#include "cli/tag_labels.h"

#include "cli/eval_sets.h"
#include "cli/output.h"
#include "cli/prompts.h"
#include "cli/tag_words.h"
#include "learn/vocabulary.h"

#include "base/mem.h"
#include "base/parallel.h"
#include "learn/lesson.h"
#include "storage/library_tagger.h"
#include "storage/library_tags.h"
#include "text/label.h"
#include "text/prompt.h"

#include <stdlib.h>
#include <string.h>

#define OWN_OF_WORDS   0.25 /* of a label's own deviation in its scale */
#define LEAST_PICTURES 8    /* of a library that can calibrate */

/* Examples and what was learned of them. */
struct taught {
    struct pictures set;
    float          *x; /* (set.n, dim) */
    struct lesson   lesson;
};

/* All labels, and the two kinds of rows over them. */
struct making {
    struct session          *s;
    size_t                   dim;
    struct tagger_background background;
    struct vocabulary        vocabulary;
    struct taught            taught;
    struct tagger_rows       words, examples;
};

static int rows_init(struct tagger_rows *r, size_t n, size_t dim, struct err *err)
{
    *r = (struct tagger_rows){.n     = n,
                              .dim   = dim,
                              .rows  = mem_zeroed(n * dim, sizeof *r->rows),
                              .bias  = mem_zeroed(n, sizeof *r->bias),
                              .known = mem_zeroed(n, sizeof *r->known)};
    return r->rows && r->bias && r->known
               ? 0
               : err_set(err, ERR_NOMEM, "out of memory for %zu labels", n);
}

static void rows_release(struct tagger_rows *r)
{
    free(r->rows);
    free(r->bias);
    free(r->known);
}

/* ---- Words ---- */

static int read_prompts(const char *name, struct prompts *out, struct err *err)
{
    if (name)
        return prompts_read(strcmp(name, PROMPTS_USUAL) == 0 ? NULL : name, out, err);
    out->list[0] = PROMPT_DEFAULT;
    out->n       = 1;
    return 0;
}

static int make_words(struct making *m, const char *prompts_name, struct err *err)
{
    struct prompts          *prompts = mem_zeroed(1, sizeof *prompts);
    struct tag_words         words   = {0};
    const struct vocabulary *v       = &m->vocabulary;
    int                      rc      = prompts ? read_prompts(prompts_name, prompts, err)
                                               : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc)
        rc = tag_words_encode(m->s, v, prompts, &words, err);
    for (size_t i = 0; !rc && i < v->n; i++) {
        m->words.known[i] = v->labels[i].n_words > 0;
        memcpy(m->words.rows + i * m->dim, words.labels + i * m->dim, m->dim * sizeof(float));
    }
    if (!rc)
        rc = tagger_calibrate(&m->words, words.refs, words.n_refs, &m->background, OWN_OF_WORDS, 1,
                              err);
    tag_words_release(&words);
    prompts_release(prompts);
    free(prompts);
    return rc;
}

/* ---- Examples ---- */

/* A folder's name as a label, in its place. */
static int tidy_label(struct pictures *set, size_t l, const char *dir, struct err *err)
{
    char *label = NULL;
    int   rc    = label_tidy(set->labels[l], LIBRARY_TAG_MAX, &label, err);
    if (rc)
        return err_prefix(err, "cannot learn from %s: \"%.100s\"", dir, set->labels[l]);
    free(set->labels[l]);
    set->labels[l] = label;
    for (size_t i = 0; i < l; i++)
        if (strcmp(set->labels[i], label) == 0)
            return err_set(err, ERR_FORMAT,
                           "cannot learn from %s: two folders are called \"%.100s\"", dir, label);
    return 0;
}

static int check_labels(struct pictures *set, const char *dir, struct err *err)
{
    for (size_t l = 0; l < set->n_labels; l++) {
        size_t n = 0;
        for (size_t i = 0; i < set->n; i++)
            n += set->label[i] == (int)l;
        if (n == 0)
            return err_set(err, ERR_FORMAT,
                           "cannot learn from %s: no picture of \"%s\" can be read", dir,
                           set->labels[l]);
        int rc = tidy_label(set, l, dir, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int learn(struct making *m, const char *dir, struct err *err)
{
    struct taught *t      = &m->taught;
    size_t         broken = 0;
    int            rc     = pictures_labelled(dir, 1, &t->set, err);
    if (!rc)
        rc = pictures_encode(m->s, &t->set, &t->x, NULL, &broken, err);
    if (!rc)
        rc = check_labels(&t->set, dir, err);
    if (!rc) {
        const struct lesson_examples e = {.x          = t->x,
                                          .labels     = t->set.label,
                                          .n          = t->set.n,
                                          .dim        = m->dim,
                                          .n_labels   = t->set.n_labels,
                                          .background = &m->background};
        rc                             = lesson_learn(&e, parallel_cores(), &t->lesson, err);
    }
    if (!rc && t->lesson.folds)
        note(m->s->common,
             "learned %zu label%s from %zu pictures; %.0f%% of those held out are told",
             t->set.n_labels, t->set.n_labels == 1 ? "" : "s", t->set.n, 100 * t->lesson.accuracy);
    else if (!rc)
        note(m->s->common,
             "learned %zu label%s from %zu picture%s; a label with one picture cannot "
             "be checked",
             t->set.n_labels, t->set.n_labels == 1 ? "" : "s", t->set.n, t->set.n == 1 ? "" : "s");
    return rc;
}

static int place_examples(struct making *m, struct err *err)
{
    const struct taught      *t    = &m->taught;
    const struct tagger_rows *from = &t->lesson.rows;
    for (size_t l = 0; l < from->n; l++) {
        long at = vocabulary_find(&m->vocabulary, t->set.labels[l]);
        if (at < 0)
            return err_set(err, ERR_DAMAGED, "the label %.100s was lost", t->set.labels[l]);
        m->examples.known[at] = true;
        m->examples.bias[at]  = from->bias[l];
        memcpy(m->examples.rows + (size_t)at * m->dim, from->rows + l * m->dim,
               m->dim * sizeof *from->rows);
    }
    return 0;
}

/* ---- Both ---- */

static int gather(struct making *m, const struct tag_request *r, struct err *err)
{
    int rc = r->vocab ? vocabulary_read(r->vocab, &m->vocabulary, err) : 0;
    if (!rc && r->examples)
        rc = learn(m, r->examples, err);
    for (size_t l = 0; !rc && l < m->taught.set.n_labels; l++)
        rc = vocabulary_add(&m->vocabulary, m->taught.set.labels[l], err);
    if (!rc)
        rc = vocabulary_settle(&m->vocabulary, err);
    return rc;
}

static int make(struct making *m, const struct tag_request *r, struct tagger **out, struct err *err)
{
    int rc =
        library_background_embeddings(m->s->lib, (float **)&m->background.x, &m->background.n, err);
    if (!rc && m->background.n < LEAST_PICTURES)
        note(m->s->common, "too few pictures to compare with: scores are rough");
    if (!rc)
        rc = gather(m, r, err);
    size_t n = m->vocabulary.n;
    if (!rc)
        rc = rows_init(&m->words, n, m->dim, err);
    if (!rc)
        rc = rows_init(&m->examples, n, m->dim, err);
    if (!rc && r->vocab)
        rc = make_words(m, r->prompts, err);
    if (!rc && r->examples)
        rc = place_examples(m, err);
    if (!rc && r->vocab && r->examples)
        rc = tagger_mix(&m->words, &m->examples, &m->background, err);
    const char **names = rc ? NULL : mem_array(n, sizeof *names);
    if (!rc && !names)
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu labels", n);
    for (size_t i = 0; !rc && i < n; i++)
        names[i] = m->vocabulary.labels[i].name;
    if (!rc)
        rc = tagger_new(names, r->vocab ? &m->words : &m->examples, r->threshold, r->top, out, err);
    free(names);
    return rc;
}

int tag_labels_make(struct session *s, const struct tag_request *request, struct tagger **out,
                    struct err *err)
{
    struct making m  = {.s = s, .dim = (size_t)encoder_info(s->enc)->dim};
    int           rc = make(&m, request, out, err);
    free((float *)m.background.x);
    free(m.taught.x);
    lesson_release(&m.taught.lesson);
    pictures_release(&m.taught.set);
    vocabulary_release(&m.vocabulary);
    rows_release(&m.words);
    rows_release(&m.examples);
    return rc;
}
