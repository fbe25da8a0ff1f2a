/* After a header declared things in both precisions: see real_begin.h. */
#pragma pop_macro("real")
#pragma pop_macro("FN")
#pragma pop_macro("REAL_IS_DOUBLE")
