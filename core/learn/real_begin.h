/* Before a header declares things in both precisions: keeps what real_f32.h or
 * real_f64.h may have defined for whoever includes that header; real_end.h puts it
 * back. */
#pragma push_macro("real")
#pragma push_macro("FN")
#pragma push_macro("REAL_IS_DOUBLE")
