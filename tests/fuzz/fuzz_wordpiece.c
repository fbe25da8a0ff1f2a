/* A vocab.txt, by which some texts are then encoded. */
#include "tests/fuzz/fuzz.h"

#include "base/mem.h"
#include "text/wordpiece.h"

#include <stdlib.h>
#include <string.h>

#define MAX_IDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const texts[] = {
        "",
        "a photo of a cat, unaffable!",
        "[CLS] x[SEP] \xE4\xB8\xAD\xE6\x96\x87 caf\xC3\xA9 \xFF\xC3 e\xCC\x81 [MASK]",
        "abababababababababababababababababababababababababababababababababababababababab"
        "ababababababababababababababababababab",
    };
    struct wordpiece *wp  = NULL;
    struct err        err = ERR_INIT;
    fuzz_write("vocab.txt", data, size);
    char *path = fuzz_path("vocab.txt");
    int   rc   = wordpiece_load(path, &wp, &err);
    fuzz_check_err(rc, &err);
    for (size_t i = 0; !rc && i < sizeof texts / sizeof texts[0]; i++) {
        int32_t *ids = mem_array(MAX_IDS, sizeof *ids);
        fuzz_check(ids);
        for (int max = MAX_IDS; max >= 2; max = max > 5 ? 5 : max - 1) {
            int n = wordpiece_encode(wp, texts[i], strlen(texts[i]), ids, max, &err);
            fuzz_check(n >= 2 && n <= max);
            for (int k = 0; k < n; k++)
                fuzz_check(ids[k] >= 0 && ids[k] < wordpiece_size(wp));
        }
        free(ids);
    }
    wordpiece_free(wp);
    free(path);
    return 0;
}
