/* The declarations of product.h, for one precision. */

struct FN(product) {
    int         m, n, k;
    const real *a; /* (m, k), or (k, m) when a_turned */
    int         lda;
    bool        a_turned;
    const real *b; /* (k, n), or (n, k) when b_turned, as weights are stored */
    int         ldb;
    bool        b_turned;
    const real *bias; /* (n) or NULL */
    real       *c;    /* (m, n) */
    int         ldc;
    bool        add; /* to what is in c */
};

/* On all threads. */
void FN(product_run)(struct compute *c, const struct FN(product) *p);
/* On the calling thread alone, inside an item; scratch: product_scratch(p) bytes,
 * 64-byte aligned. */
void FN(product_one)(struct compute *c, const struct FN(product) *p, void *scratch);
size_t FN(product_scratch)(const struct FN(product) *p);
