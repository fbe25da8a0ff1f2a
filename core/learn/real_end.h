/* Takes back what real_f32.h or real_f64.h defined. */
#undef real
#undef FN
#undef REAL_IS_DOUBLE
