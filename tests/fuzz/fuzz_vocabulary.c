/* A vocabulary as people write them; and, beginning with a byte 0, a tagger as a library
 * keeps it. */
#include "tests/fuzz/fuzz.h"

#include "learn/tagger.h"
#include "learn/vocabulary.h"

#include <stdlib.h>
#include <string.h>

static void parse(const uint8_t *data, size_t size)
{
    struct vocabulary v;
    struct err        err  = ERR_INIT;
    char             *text = malloc(size + 1);
    fuzz_check(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    int rc     = vocabulary_parse(text, size, "labels", &v, &err);
    free(text);
    fuzz_check_err(rc, &err);
    if (rc)
        return;
    fuzz_check(v.n > 0);
    for (size_t i = 0; i < v.n; i++) {
        const char *name = v.labels[i].name;
        fuzz_check(*name && strlen(name) <= VOCABULARY_LONGEST);
        fuzz_check(i == 0 || strcmp(v.labels[i - 1].name, name) < 0);
        for (const char *bar = name; (bar = strchr(bar, TAGGER_SEPARATOR)); bar++) {
            char *above = strndup(name, (size_t)(bar - name));
            fuzz_check(above && vocabulary_find(&v, above) >= 0);
            free(above);
        }
    }
    vocabulary_release(&v);
}

static void unpack(const uint8_t *data, size_t size)
{
    struct tagger *t     = NULL;
    struct err     err   = ERR_INIT;
    uint8_t       *exact = malloc(size + (size == 0)); /* ends where the bytes do */
    fuzz_check(exact != NULL);
    memcpy(exact, data, size);
    int rc = tagger_unpack(exact, size, &t, &err);
    free(exact);
    fuzz_check_err(rc, &err);
    if (rc)
        return;
    float             *x = calloc(t->dim, sizeof *x), *v = calloc(t->n, sizeof *v);
    struct tagger_tag *tags = calloc(t->n, sizeof *tags);
    fuzz_check(x && v && tags);
    tagger_score(t, x, 1, v);
    fuzz_check(tagger_choose(t, v, tags) <= t->n);
    free(x);
    free(v);
    free(tags);
    tagger_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == 0)
        unpack(data + 1, size - 1);
    else
        parse(data, size);
    return 0;
}
