/* Text files that come with Osprey, found relative to the program as models are. */
#ifndef OSPREY_BASE_SHIPPED_H
#define OSPREY_BASE_SHIPPED_H

#include "base/err.h"

/* name: a file, or NAME of models/FOLDER/NAME.txt. *path is freed by the caller. what: "bank".
 * ERR_NOTFOUND where it is neither; the message names those that there are. */
int shipped_find(const char *folder, const char *name, const char *what, char **path,
                 struct err *err);

#endif
