/* A re-ranker of the MMCA form "pooled" that is small enough to be trained in a test. */
#ifndef OSPREY_TESTS_MMCA_SMALL_H
#define OSPREY_TESTS_MMCA_SMALL_H

#define MMCA_SMALL(cells_, region_, word_, mlp_)                                                   \
    {                                                                                              \
        .cells = (cells_), .region = (region_), .word = (word_), .width = 8, .heads = 2,           \
        .mlp = (mlp_), .layers = {1, 1, 1}, .form = MMCA_POOLED_FORM, .norm = MMCA_PRE,            \
        .image_pool = MMCA_LEARNED, .text_pool = MMCA_LEARNED, .unit = true                        \
    }

#endif
