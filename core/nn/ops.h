/* The small operations between a transformer's matrix products. */
#ifndef OSPREY_NN_OPS_H
#define OSPREY_NN_OPS_H

/* Layer normalisation (Ba et al. 2016) of each of rows rows of dim floats:
 * out = (x - mean) / sqrt(variance + eps) * weight + bias. out may be x. */
void ops_layernorm(const float *x, int rows, int dim, const float *weight, const float *bias,
                   float eps, float *out);

/* out: (dim), the mean of rows rows; rows >= 1. */
void ops_mean_rows(const float *x, int rows, int dim, float *out);

/* Divides by the Euclidean length; a vector of length 0 stays as it is. */
void ops_l2_normalize(float *x, int dim);

/* Softmax of n numbers divided by temperature, in place. */
void ops_softmax(float *x, int n, float temperature);

#endif
