/* JSON, and the configurations that are read from it: CLIP's in both layouts,
 * preprocessing, which is then done to a small picture. */
#include "tests/fuzz/fuzz.h"

#include "base/json.h"
#include "base/mem.h"
#include "image/preprocess.h"
#include "model/clip_config.h"

#include <stdlib.h>
#include <string.h>

#define MAX_PIXELS (1 << 18) /* made from one input: keeps the fuzzer fast */

static void check_tower(const struct clip_tower_config *t)
{
    fuzz_check(t->width > 0 && t->layers > 0 && t->mlp > 0);
    fuzz_check(t->heads > 0 && t->width % t->heads == 0);
}

static void check_config(const struct clip_config *c)
{
    check_tower(&c->vision);
    check_tower(&c->text);
    fuzz_check(c->patch > 0 && c->image_size >= c->patch);
    fuzz_check(c->vocabulary > 0 && c->positions > 0 && c->dim > 0);
}

static void preprocess_something(const struct preprocess *p)
{
    uint8_t      pixels[7 * 5 * 3];
    struct image picture = {.width = 7, .height = 5, .data = pixels};
    struct err   err     = ERR_INIT;
    fuzz_check(p->out_w > 0 && p->out_h > 0 && preprocess_min_side(p) >= 0);
    if ((int64_t)p->out_w * p->out_h > MAX_PIXELS)
        return;
    memset(pixels, 128, sizeof pixels);
    uint8_t *out = mem_array((size_t)p->out_w * (size_t)p->out_h, 3);
    fuzz_check(out);
    fuzz_check_err(preprocess_image(p, &picture, out, &err), &err);
    free(out);
}

static void parse_all(const struct jnode *root)
{
    struct clip_config c;
    struct preprocess  p;
    struct err         err = ERR_INIT;
    int                rc  = clip_config_parse(root, "config.json", &c, &err);
    fuzz_check_err(rc, &err);
    if (!rc)
        check_config(&c);
    err = (struct err)ERR_INIT;
    rc  = preprocess_parse(root, &p, &err);
    fuzz_check_err(rc, &err);
    if (!rc)
        preprocess_something(&p);
    err = (struct err)ERR_INIT;
    rc  = clip_config_parse_open(root, "open_clip_config.json", &c, &err);
    fuzz_check_err(rc, &err);
    if (rc)
        return;
    check_config(&c);
    rc = clip_preprocess_parse_open(root, "open_clip_config.json", &c, &p, &err);
    fuzz_check_err(rc, &err);
    if (!rc)
        preprocess_something(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jnode *root = NULL, *again = NULL;
    struct err    err = ERR_INIT;
    int           rc  = jnode_parse((const char *)data, size, "the input", &root, &err);
    fuzz_check_err(rc, &err);
    if (rc)
        return 0;
    parse_all(root);
    char *text = jnode_write(root);
    fuzz_check(text && !jnode_parse(text, strlen(text), "what was written", &again, &err));
    free(text);
    jnode_free(again);
    jnode_free(root);
    return 0;
}
