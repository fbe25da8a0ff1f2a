/* The declarations of probe.h, for one precision. */

struct FN(probe_data) {
    const real *x;      /* (n, dim) */
    const int  *labels; /* (n) */
    int         n, dim, n_labels;
    double      decay;
    real       *scores; /* (n, n_labels) scratch */
};

/* weights, gradient: (n_labels, dim + 1). Returns the loss, sets the gradient. */
double FN(probe_loss)(struct compute *c, const struct FN(probe_data) *d, const real *weights,
                      real *gradient);
