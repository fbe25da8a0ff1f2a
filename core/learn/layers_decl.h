/* The declarations of layers.h, for one precision. */

/* Something learned. One list of them serves optimiser, checkpoint and export. */
struct FN(param) {
    const char *name; /* of its network's own */
    int         rows, cols;
    real       *value, *grad; /* (rows, cols) */
    bool        decay;        /* weights yes, biases and gains no */
};

/* y (rows, out) = x (rows, in) w^T + bias. w: (out, in). bias: (out) or NULL. add: y
 * is added to: a residual connection. */
void FN(linear_forward)(struct compute *c, const real *x, int rows, int in, const real *w,
                        const real *bias, int out, bool add, real *y);
/* dx is set, or added to if add; dw, db are added to. */
void FN(linear_backward)(struct compute *c, const real *x, const real *dy, int rows, int in,
                         const real *w, int out, bool add, real *dx, real *dw, real *db);

/* y = a + b, whose gradient is dy to both; y may be a. */
void FN(add)(struct compute *c, const real *a, const real *b, size_t n, real *y);
/* y = scale * x. */
void FN(scale)(struct compute *c, const real *x, real scale, size_t n, real *y);

/* Hendrycks and Gimpel 2016, with erf. */
void FN(gelu_forward)(struct compute *c, const real *x, size_t n, real *y);
void FN(gelu_backward)(struct compute *c, const real *x, const real *dy, size_t n, real *dx);
void FN(relu_forward)(struct compute *c, const real *x, size_t n, real *y);
void FN(relu_backward)(struct compute *c, const real *x, const real *dy, size_t n, real *dx);

/* Srivastava et al. 2014, scaled by 1 / (1 - p) in training. Its own backward pass:
 * run it on dy with the same d. d NULL or d->p 0: a copy. */
void FN(dropout)(struct compute *c, const real *x, size_t n, const struct dropout *d, real *y);

/* Ba et al. 2016. gain, bias: (dim). saved: (rows, 2). */
void FN(layernorm_forward)(struct compute *c, const real *x, int rows, int dim, const real *gain,
                           const real *bias, real eps, real *y, real *saved);
void FN(layernorm_backward)(struct compute *c, const real *x, const real *dy, int rows, int dim,
                            const real *gain, const real *saved, real *dx, real *dgain,
                            real *dbias);

/* Each row divided by its length; a row of zeros stays. saved: (rows), the lengths.
 * The backward pass wants y. */
void FN(l2norm_forward)(struct compute *c, const real *x, int rows, int dim, real *y, real *saved);
void FN(l2norm_backward)(struct compute *c, const real *y, const real *dy, int rows, int dim,
                         const real *saved, real *dx);

/* y = (x - mean) * scale by column; mean, scale: (dim), fixed. */
void FN(standardise_forward)(struct compute *c, const real *x, int rows, int dim, const real *mean,
                             const real *scale, real *y);
void FN(standardise_backward)(struct compute *c, const real *dy, int rows, int dim,
                              const real *scale, real *dx);
/* Column means, and 1 / (standard deviation + eps), of a data set. */
void FN(standardise_fit)(const real *x, size_t rows, int dim, real eps, real *mean, real *scale);

/* Over each row, among the columns whose mask (rows, n) is not 0 (NULL: all); the
 * others get 0, and so does a row of which nothing is left. Backward wants y. */
void FN(softmax_forward)(struct compute *c, const real *x, int rows, int n, const uint8_t *mask,
                         real *y);
void FN(softmax_backward)(struct compute *c, const real *y, const real *dy, int rows, int n,
                          real *dx);

/* Multi-head self-attention inside each sequence (Vaswani et al. 2017). qkv: (rows,
 * 3 * heads * head_dim): queries, keys, values of all heads side by side. y: (rows,
 * heads * head_dim). saved: attend_saved(a), the attention weights. The linear
 * layers before and after are the caller's. */
void FN(attend_forward)(struct compute *c, const struct attend *a, const real *qkv, real *y,
                        real *saved);
void FN(attend_backward)(struct compute *c, const struct attend *a, const real *qkv, const real *dy,
                         const real *saved, real *dqkv);

/* One row for each of n sequences. An empty sequence yields zeros. */
void FN(mean_pool_forward)(struct compute *c, const real *x, int dim, const int *starts, int n,
                           real *y);
void FN(mean_pool_backward)(struct compute *c, const real *dy, int dim, const int *starts, int n,
                            real *dx);
/* Weighted means: softmax over a sequence of x . w, w: (dim). saved: one number for
 * each row of x, the weights. */
void FN(attention_pool_forward)(struct compute *c, const real *x, int dim, const int *starts, int n,
                                const real *w, real *y, real *saved);
void FN(attention_pool_backward)(struct compute *c, const real *x, const real *dy, int dim,
                                 const int *starts, int n, const real *w, const real *saved,
                                 real *dx, real *dw);

/* y[i] = x[from[i]], for pairs that share pictures or texts. */
void FN(gather_forward)(struct compute *c, const real *x, int dim, const int *from, int rows,
                        real *y);
/* dx[from[i]] += dy[i]: dx is added to. */
void FN(gather_backward)(struct compute *c, const real *dy, int dim, const int *from, int rows,
                         real *dx);

/* y (rows, na + nb) = [wa * a, wb * b]. */
void FN(concat_forward)(struct compute *c, const real *a, int na, real wa, const real *b, int nb,
                        real wb, int rows, real *y);
/* dwa, dwb: one number each, added to; they and a, b may be NULL together. */
void FN(concat_backward)(struct compute *c, const real *dy, const real *a, int na, real wa,
                         const real *b, int nb, real wb, int rows, real *da, real *db, real *dwa,
                         real *dwb);
