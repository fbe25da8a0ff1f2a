/* Double precision for the learning code that is written once for both: see
 * real_f32.h. Slow and plain: for gradient checks. */
#undef real
#undef FN
#undef REAL_IS_DOUBLE
#define real           double
#define FN(name)       name##_f64
#define REAL_IS_DOUBLE 1
