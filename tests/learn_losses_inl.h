/* Losses over distances as gradcheck.h wants them, in one precision: a (6, 5), b (7, 5),
 * scalars (2). Which loss is in `tested`. */

static double FN(any_loss)(struct compute *c, real **in, real **grad)
{
    struct FN(loss_sets)    sets = {.a        = in[0],
                                    .b        = in[1],
                                    .groups_a = tested.groups_a,
                                    .groups_b = tested.groups_b,
                                    .na       = 6,
                                    .nb       = tested.loss.same ? 6 : 7,
                                    .dim      = 5};
    struct FN(loss_scalars) s = {.log_scale = (real)0.5 * in[2][0], .bias = in[2][1]}, ds = {0};
    real                   *scores = gradcheck_take(42, sizeof *scores);
    double value = FN(loss_run)(c, &tested.loss, &sets, &s, scores, grad ? grad[0] : NULL,
                                grad ? grad[1] : NULL, &ds);
    if (grad) {
        grad[2][0] = (real)0.5 * ds.log_scale;
        grad[2][1] = ds.bias;
    }
    /* What the loss does not depend on must still be seen to be checked. */
    double scale = 0.01 * (double)in[2][0], bias = 0.01 * (double)in[2][1];
    if (grad) {
        grad[2][0] += (real)0.01;
        grad[2][1] += (real)0.01;
    }
    return value + scale + bias;
}

/* a (6, 5), b (7, 5); targets are a softmax of something. */
static double FN(distil)(struct compute *c, real **in, real **grad)
{
    struct FN(loss_sets) sets = {.a = in[0], .b = in[1], .na = 6, .nb = 7, .dim = 5};
    real                 targets[42], *scores = gradcheck_take(42, sizeof *scores);
    for (int i = 0; i < 6; i++) {
        double sum = 0;
        for (int j = 0; j < 7; j++)
            sum += exp(gradcheck_weight((size_t)(7 * i + j)));
        for (int j = 0; j < 7; j++)
            targets[7 * i + j] = (real)(exp(gradcheck_weight((size_t)(7 * i + j))) / sum);
    }
    return FN(loss_distil)(c, tested.loss.distance, &sets, (real)1.5, (real)0.5, targets, scores,
                           grad ? grad[0] : NULL, grad ? grad[1] : NULL);
}

/* scores (4, 6) */
static double FN(list_softmax)(struct compute *c, real **in, real **grad)
{
    (void)c;
    return FN(loss_list_softmax)(in[0], 4, 5, grad ? grad[0] : NULL);
}

static double FN(list_triplet)(struct compute *c, real **in, real **grad)
{
    (void)c;
    return FN(loss_list_triplet)(in[0], 4, 5, 0.5, false, grad ? grad[0] : NULL);
}

static double FN(list_hardest)(struct compute *c, real **in, real **grad)
{
    (void)c;
    return FN(loss_list_triplet)(in[0], 4, 5, 0.5, true, grad ? grad[0] : NULL);
}
