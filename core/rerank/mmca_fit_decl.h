/* The declarations of mmca_fit.h, for one precision. */

struct FN(mmca_fit);

struct FN(mmca_batch) {
    int         groups, size; /* groups * size pictures, and as many texts */
    const real *regions;      /* (pictures * cells, region) */
    const real *words;        /* (starts[texts], word) */
    const int  *starts;       /* (texts + 1) */
    const int  *owner;        /* (pictures) a number for each picture, of pictures and texts */
};

/* Parameters are zero until init. */
int FN(mmca_fit_new)(const struct mmca_config *config, double smoothing, struct FN(mmca_fit) **out,
                     struct err *err);
void FN(mmca_fit_free)(struct FN(mmca_fit) *net); /* NULL-safe */
/* Weights uniform in +-1/sqrt(inputs), as PyTorch's Linear. */
void FN(mmca_fit_init)(struct FN(mmca_fit) *net, struct random *r);

/* The list (n): the tensors of mmca_config.h in their order, without means and scales,
 * and "scales" (MMCA_FIT_SCALES). It stays where it is until free. */
const struct FN(param) *FN(mmca_fit_params)(const struct FN(mmca_fit) *net, int *n);
/* (region) or (word) each; fixed; 0 and 1 at first. */
void FN(mmca_fit_standard)(struct FN(mmca_fit) *net, bool words, real **mean, real **scale);

/* The loss. dropout NULL: none, to measure or to check. backward: adds to gradients. */
double FN(mmca_fit_run)(struct FN(mmca_fit) *net, struct compute *c,
                        const struct FN(mmca_batch) *batch, const struct mmca_fit_dropout *dropout,
                        struct random *random, bool backward);
/* After a run: the whole score of text i and picture j of a group. */
real FN(mmca_fit_score)(const struct FN(mmca_fit) *net, int group, int text, int picture);
