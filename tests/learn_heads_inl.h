/* A whole head as gradcheck.h wants it, in one precision: 9 inputs, 8 hidden, 6 outputs,
 * 4 rows, both dropouts, layer normalisation. The arrays are its parameters. */
static double FN(whole_head)(struct compute *c, real **in, real **grad)
{
    const struct head_shape shape = {.in             = 9,
                                     .hidden         = 8,
                                     .dim            = 6,
                                     .layer_norm     = true,
                                     .input_dropout  = 0.3,
                                     .hidden_dropout = 0.2};
    struct FN(head_net)    *net   = NULL;
    struct FN(param)        list[HEAD_PARAMS];
    struct random           r;
    real                    x[36], y[24], dy[24], *mean, *scale;
    double                  value = 0;
    assert_int_equal(FN(head_net_new)(&shape, 5, &net, NULL), 0);
    assert_int_equal(FN(head_net_params)(net, list), HEAD_PARAMS);
    for (int k = 0; k < HEAD_PARAMS; k++)
        memcpy(list[k].value, in[k], (size_t)(list[k].rows * list[k].cols) * sizeof(real));
    FN(head_net_standard)(net, &mean, &scale);
    mean[3]  = (real)0.5;
    scale[4] = 2;
    random_seed(&r, 99);
    for (int i = 0; i < 36; i++)
        x[i] = (real)random_normal(&r);
    FN(head_net_forward)(net, c, x, 4, &r, y);
    for (int i = 0; i < 24; i++) {
        value += (double)y[i] * gradcheck_weight((size_t)i);
        dy[i] = (real)gradcheck_weight((size_t)i);
    }
    if (grad) {
        FN(head_net_backward)(net, c, dy);
        for (int k = 0; k < HEAD_PARAMS; k++)
            memcpy(grad[k], list[k].grad, (size_t)(list[k].rows * list[k].cols) * sizeof(real));
    }
    FN(head_net_free)(net);
    return value;
}
