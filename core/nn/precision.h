/* The precisions in which a linear layer's weights can be kept. */
#ifndef OSPREY_NN_PRECISION_H
#define OSPREY_NN_PRECISION_H

#include <stdbool.h>

enum precision {
    PRECISION_F32,
    PRECISION_BF16, /* weights and activations rounded to bfloat16, sums in single precision */
    PRECISION_INT8, /* 8-bit weights with a scale for each output, 8-bit activations with scale
                       and zero point for each row, exact integer sums */
    PRECISION_AUTO  /* a wish, never a state: whichever suits model and processor */
};

/* "f32", "bf16", "int8", "auto" */
const char *precision_name(enum precision precision);
/* False when name is none of them. */
bool        precision_of(const char *name, enum precision *out);

#endif
