/* Matrix products for training, either operand turned or not:
 *
 *     C (m, n) = op(A) (m, k) op(B) (k, n) [+ C] [+ bias (n) on each row]
 *
 * forward y = x W^T, dx = dy W, dW = dy^T x. In single precision on the kernels of
 * nn/gemm.h: B is packed into their panels and A turned to rows first, which costs
 * little beside the product. In double precision plain loops, for gradient checks.
 * Each element is one sum in order of k: the same on any number of threads.
 */
#ifndef OSPREY_LEARN_PRODUCT_H
#define OSPREY_LEARN_PRODUCT_H

#include "learn/compute.h"

#include "learn/real_begin.h"

#include "learn/real_f32.h"

#include "learn/product_decl.h"

#include "learn/real_f64.h"

#include "learn/product_decl.h"

#include "learn/real_end.h"

#endif
