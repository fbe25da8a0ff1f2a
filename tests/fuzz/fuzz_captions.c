/* A file of captions: a table, or JSON of Karpathy's or COCO's form. */
#include "tests/fuzz/fuzz.h"

#include "learn/captions.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct captions set = {0};
    struct err      err = ERR_INIT;
    fuzz_write("captions", data, size);
    char *path = fuzz_path("captions");
    int   rc   = captions_read(path, NULL, &set, &err);
    fuzz_check_err(rc, &err);
    if (rc == ERR_USAGE) { /* several splits */
        err = (struct err)ERR_INIT;
        rc  = captions_read(path, "all", &set, &err);
        fuzz_check_err(rc, &err);
    }
    if (!rc) {
        fuzz_check(set.n_images > 0 && set.n_captions >= set.n_images);
        for (size_t i = 0; i < set.n_captions; i++) {
            fuzz_check(set.image_of[i] >= 0 && (size_t)set.image_of[i] < set.n_images);
            fuzz_check(strlen(set.texts[i]) + strlen(set.files[set.image_of[i]]) <= size);
        }
        captions_release(&set);
    }
    free(path);
    return 0;
}
