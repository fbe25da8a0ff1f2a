/* One function for each layer, as gradcheck.h wants them, in one precision. Sizes are
 * odd on purpose; they stand beside each case in test_learn_layers.c. */

/* The weighted sum of a layer's outputs; dy, if wanted, gets its gradient. */
static double FN(weigh)(const real *y, size_t n, real *dy)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)y[i] * gradcheck_weight(i);
        if (dy)
            dy[i] = (real)gradcheck_weight(i);
    }
    return sum;
}

static real *FN(take)(size_t n)
{
    return gradcheck_take(n, sizeof(real));
}

static real *FN(zeros)(real *x, size_t n)
{
    memset(x, 0, n * sizeof *x);
    return x;
}

/* x (5, 7), w (9, 7), bias (9) */
static double FN(linear)(struct compute *c, real **in, real **grad)
{
    real *y = FN(take)(45), *dy = FN(take)(45);
    FN(linear_forward)(c, in[0], 5, 7, in[1], in[2], 9, false, y);
    double value = FN(weigh)(y, 45, dy);
    if (grad)
        FN(linear_backward)(c, in[0], dy, 5, 7, in[1], 9, false, grad[0], FN(zeros)(grad[1], 63),
                            FN(zeros)(grad[2], 9));
    return value;
}

/* x (21, 4), w1 (33, 4), w2 (4, 33): y = x + w2 relu(w1 x), without biases. */
static double FN(residual)(struct compute *c, real **in, real **grad)
{
    real *h = FN(take)(21 * 33), *y = FN(take)(84), *dh = FN(take)(21 * 33), *f = FN(take)(21 * 33);
    FN(linear_forward)(c, in[0], 21, 4, in[1], NULL, 33, false, h);
    FN(relu_forward)(c, h, 21 * 33, f);
    memcpy(y, in[0], 84 * sizeof *y);
    FN(linear_forward)(c, f, 21, 33, in[2], NULL, 4, true, y);
    if (!grad)
        return FN(weigh)(y, 84, NULL);
    double value = FN(weigh)(y, 84, grad[0]);
    real  *dy    = FN(take)(84);
    memcpy(dy, grad[0], 84 * sizeof *dy);
    FN(linear_backward)(c, f, dy, 21, 33, in[2], 4, false, dh, FN(zeros)(grad[2], 132), NULL);
    FN(relu_backward)(c, h, dh, 21 * 33, dh);
    FN(linear_backward)(c, in[0], dh, 21, 4, in[1], 33, true, grad[0], FN(zeros)(grad[1], 132),
                        NULL);
    return value;
}

/* a, b (50): y = 0.7 (a + b) + a */
static double FN(sum)(struct compute *c, real **in, real **grad)
{
    real *y = FN(take)(50);
    FN(add)(c, in[0], in[1], 50, y);
    FN(scale)(c, y, (real)0.7, 50, y);
    FN(add)(c, y, in[0], 50, y);
    real  *dy    = FN(take)(50);
    double value = FN(weigh)(y, 50, dy);
    if (grad) {
        FN(scale)(c, dy, (real)0.7, 50, grad[1]);
        FN(add)(c, dy, grad[1], 50, grad[0]);
    }
    return value;
}

/* x (301) */
static double FN(gelu)(struct compute *c, real **in, real **grad)
{
    real *y = FN(take)(301), *dy = FN(take)(301);
    FN(gelu_forward)(c, in[0], 301, y);
    double value = FN(weigh)(y, 301, dy);
    if (grad)
        FN(gelu_backward)(c, in[0], dy, 301, grad[0]);
    return value;
}

/* x (301) */
static double FN(relu)(struct compute *c, real **in, real **grad)
{
    real *y = FN(take)(301), *dy = FN(take)(301);
    FN(relu_forward)(c, in[0], 301, y);
    double value = FN(weigh)(y, 301, dy);
    if (grad)
        FN(relu_backward)(c, in[0], dy, 301, grad[0]);
    return value;
}

/* x (301) */
static double FN(drop)(struct compute *c, real **in, real **grad)
{
    const struct dropout d = {.p = 0.4, .key = 12345};
    real                *y = FN(take)(301), *dy = FN(take)(301);
    FN(dropout)(c, in[0], 301, &d, y);
    double value = FN(weigh)(y, 301, dy);
    if (grad)
        FN(dropout)(c, dy, 301, &d, grad[0]);
    return value;
}

/* x (6, 37), gain (37), bias (37) */
static double FN(norm)(struct compute *c, real **in, real **grad)
{
    real *y = FN(take)(222), *dy = FN(take)(222), *saved = FN(take)(12);
    FN(layernorm_forward)(c, in[0], 6, 37, in[1], in[2], (real)1e-5, y, saved);
    double value = FN(weigh)(y, 222, dy);
    if (grad)
        FN(layernorm_backward)(c, in[0], dy, 6, 37, in[1], saved, grad[0], FN(zeros)(grad[1], 37),
                               FN(zeros)(grad[2], 37));
    return value;
}

/* x (6, 37) */
static double FN(l2)(struct compute *c, real **in, real **grad)
{
    real *y = FN(take)(222), *dy = FN(take)(222), *saved = FN(take)(6);
    FN(l2norm_forward)(c, in[0], 6, 37, y, saved);
    double value = FN(weigh)(y, 222, dy);
    if (grad)
        FN(l2norm_backward)(c, y, dy, 6, 37, saved, grad[0]);
    return value;
}

/* x (6, 37) */
static double FN(standardise)(struct compute *c, real **in, real **grad)
{
    real *y = FN(take)(222), *dy = FN(take)(222), *mean = FN(take)(37), *scale = FN(take)(37);
    for (int j = 0; j < 37; j++) {
        mean[j]  = (real)(0.1 * j);
        scale[j] = (real)(1 + 0.2 * j);
    }
    FN(standardise_forward)(c, in[0], 6, 37, mean, scale, y);
    double value = FN(weigh)(y, 222, dy);
    if (grad)
        FN(standardise_backward)(c, dy, 6, 37, scale, grad[0]);
    return value;
}

/* x (6, 37); the last row is masked away. */
static double FN(softmax)(struct compute *c, real **in, real **grad)
{
    real    *y = FN(take)(222), *dy = FN(take)(222);
    uint8_t *mask = gradcheck_take(222, 1);
    for (int i = 0; i < 222; i++)
        mask[i] = i < 185 && i % 3 != 0;
    FN(softmax_forward)(c, in[0], 6, 37, mask, y);
    for (int i = 0; i < 222; i++) {
        if (!mask[i])
            assert_true(y[i] == 0);
    }
    double value = FN(weigh)(y, 222, dy);
    if (grad)
        FN(softmax_backward)(c, y, dy, 6, 37, grad[0]);
    return value;
}

/* x (6, 37) */
static double FN(softmax_all)(struct compute *c, real **in, real **grad)
{
    real *y = FN(take)(222), *dy = FN(take)(222);
    FN(softmax_forward)(c, in[0], 6, 37, NULL, y);
    double value = FN(weigh)(y, 222, dy);
    if (grad)
        FN(softmax_backward)(c, y, dy, 6, 37, grad[0]);
    return value;
}

/* qkv (23, 3 * 2 * 5): sequences of 4, 1, 0 and 18. */
static double FN(attend_with)(struct compute *c, const struct dropout *d, real **in, real **grad)
{
    const int           starts[] = {0, 4, 5, 5, 23};
    const struct attend a = {.starts = starts, .n = 4, .heads = 2, .head_dim = 5, .dropout = d};
    real               *y = FN(take)(230), *dy = FN(take)(230), *saved = FN(take)(attend_saved(&a));
    FN(attend_forward)(c, &a, in[0], y, saved);
    double value = FN(weigh)(y, 230, dy);
    if (grad)
        FN(attend_backward)(c, &a, in[0], dy, saved, grad[0]);
    return value;
}

static double FN(attend)(struct compute *c, real **in, real **grad)
{
    return FN(attend_with)(c, NULL, in, grad);
}

static double FN(attend_drop)(struct compute *c, real **in, real **grad)
{
    const struct dropout d = {.p = 0.3, .key = 77};
    return FN(attend_with)(c, &d, in, grad);
}

/* x (23, 9): as above. */
static double FN(mean_pool)(struct compute *c, real **in, real **grad)
{
    const int starts[] = {0, 4, 5, 5, 23};
    real     *y = FN(take)(36), *dy = FN(take)(36);
    FN(mean_pool_forward)(c, in[0], 9, starts, 4, y);
    double value = FN(weigh)(y, 36, dy);
    if (grad)
        FN(mean_pool_backward)(c, dy, 9, starts, 4, grad[0]);
    return value;
}

/* x (23, 9), w (9) */
static double FN(attention_pool)(struct compute *c, real **in, real **grad)
{
    const int starts[] = {0, 4, 5, 5, 23};
    real     *y = FN(take)(36), *dy = FN(take)(36), *saved = FN(take)(23);
    FN(attention_pool_forward)(c, in[0], 9, starts, 4, in[1], y, saved);
    double value = FN(weigh)(y, 36, dy);
    if (grad)
        FN(attention_pool_backward)(c, in[0], dy, 9, starts, 4, in[1], saved, grad[0],
                                    FN(zeros)(grad[1], 9));
    return value;
}

/* x (5, 41); rows 3 and 0 are taken more than once, row 1 not at all. */
static double FN(gather)(struct compute *c, real **in, real **grad)
{
    const int from[] = {3, 0, 3, 4, 2, 0, 3};
    real     *y = FN(take)(287), *dy = FN(take)(287);
    FN(gather_forward)(c, in[0], 41, from, 7, y);
    double value = FN(weigh)(y, 287, dy);
    if (grad)
        FN(gather_backward)(c, dy, 41, from, 7, FN(zeros)(grad[0], 205));
    return value;
}

/* a (6, 11), b (6, 5), weights (2) */
static double FN(concat)(struct compute *c, real **in, real **grad)
{
    real *y = FN(take)(96), *dy = FN(take)(96), *w = in[2];
    FN(concat_forward)(c, in[0], 11, w[0], in[1], 5, w[1], 6, y);
    double value = FN(weigh)(y, 96, dy);
    if (grad)
        FN(concat_backward)(c, dy, in[0], 11, w[0], in[1], 5, w[1], 6, grad[0], grad[1],
                            FN(zeros)(grad[2], 2), grad[2] + 1);
    return value;
}
