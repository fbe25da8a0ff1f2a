/* Single precision for the learning code that is written once for both: what an
 * _inl.h calls `real`, and what FN() appends to its names. No include guard: a file
 * may ask for one precision after the other. See layers.h for how to use it. */
#undef real
#undef FN
#undef REAL_IS_DOUBLE
#define real           float
#define FN(name)       name##_f32
#define REAL_IS_DOUBLE 0
