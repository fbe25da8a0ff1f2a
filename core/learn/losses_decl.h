/* The declarations of losses.h, for one precision. */

/* Two sets of embeddings and who belongs to whom. */
struct FN(loss_sets) {
    const real *a;        /* (na, dim) */
    const real *b;        /* (nb, dim) */
    const int  *groups_a; /* (na) */
    const int  *groups_b; /* (nb) */
    int         na, nb, dim;
};

/* The learned scalars and, in the same form, their gradients. */
struct FN(loss_scalars) {
    real log_scale; /* infonce, siglip */
    real bias;      /* siglip */
};

/* The whole: returns the loss; sets da (na, dim), db (nb, dim); adds to ds. da NULL:
 * the loss alone. scores: (na, nb) scratch, which then holds S. */
double FN(loss_run)(struct compute *c, const struct loss *l, const struct FN(loss_sets) *sets,
                    const struct FN(loss_scalars) *s, real *scores, real *da, real *db,
                    struct FN(loss_scalars) *ds);

/* S (na, nb). */
void FN(similarity_forward)(struct compute *c, enum distance d, const struct FN(loss_sets) *sets,
                            real *scores);
/* scores: S as the forward pass left it; dscores is used up. Sets da, db. */
void FN(similarity_backward)(struct compute *c, enum distance d, const struct FN(loss_sets) *sets,
                             const real *scores, real *dscores, real *da, real *db);
/* A loss of any scores (na, nb); of sets only the groups and their numbers are used.
 * Sets dscores, another matrix or NULL. Adds to ds. l->distance says what D is for
 * contrastive. */
double FN(loss_of_scores)(struct compute *c, const struct loss *l, const struct FN(loss_sets) *sets,
                          const struct FN(loss_scalars) *s, const real *scores, real *dscores,
                          struct FN(loss_scalars) *ds);

/* Distillation (Hinton et al. 2015): weight * the mean over rows of -sum_j t_ij log q_ij,
 * q_i the softmax of scale * S_i, t (na, nb) the targets, of which each row's sum is 1.
 * The scale is a constant here. Sets da, db; da NULL: the loss alone. scores: (na, nb)
 * scratch. Groups are not looked at. */
double FN(loss_distil)(struct compute *c, enum distance d, const struct FN(loss_sets) *sets,
                       real scale, real weight, const real *targets, real *scores, real *da,
                       real *db);

/* For a re-ranker: lists of one positive (first) and its own negatives. scores,
 * dscores: (lists, 1 + negatives). The mean over lists. */
double FN(loss_list_softmax)(const real *scores, int lists, int negatives, real *dscores);
double FN(loss_list_triplet)(const real *scores, int lists, int negatives, double margin,
                             bool hardest, real *dscores);
