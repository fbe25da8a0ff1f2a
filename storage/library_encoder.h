/* The model that answers for a library: the one that filled it. */
#ifndef OSPREY_STORAGE_LIBRARY_ENCODER_H
#define OSPREY_STORAGE_LIBRARY_ENCODER_H

#include "base/err.h"
#include "model/encoder.h"
#include "storage/library.h"

/* Opens a model by name or folder; NULL: the default one (models_find). */
int encoder_open_named(const char *name, const struct encoder_options *options,
                       struct encoder **out, struct err *err);

/* Opens a model that the library records: found by its name, else in the folder
 * that it was loaded from, else by what the library keeps of it. Where none holds
 * those weights it is an error that says what to do. precision auto: the recorded
 * one. *newer (may be NULL): the model of that name is another one now. */
int encoder_open_recorded(struct library *lib, const struct library_model *recorded,
                          enum precision precision, struct encoder **out, bool *newer,
                          struct err *err);

/* Keeps what the library needs of a registered model, opened as enc, to go on with
 * it when its name comes to mean another. */
int library_keep_encoder(struct library *lib, const struct library_model *registered,
                         const struct encoder *enc, struct err *err);

/* Opens the model whose weights filled the library: named by the caller, or,
 * with model NULL, the recorded one. Other weights are an error that names both;
 * a library without pictures is ERR_NOTFOUND. precision auto: the one that filled
 * the library. */
int library_open_encoder(struct library *lib, const char *model, enum precision precision,
                         struct encoder **out, struct err *err);

#endif
