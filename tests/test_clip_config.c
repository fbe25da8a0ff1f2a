/* Unit tests of core/model/clip_config: defaults, precedence, both layouts, and
 * what must be refused. */
#include "model/clip_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, bool open, struct clip_config *c, struct err *err)
{
    struct jnode *root = NULL;
    assert_int_equal(jnode_parse(text, strlen(text), "test", &root, err), 0);
    int rc = open ? clip_config_parse_open(root, "f.json", c, err)
                  : clip_config_parse(root, "f.json", c, err);
    jnode_free(root);
    return rc;
}

static void refused(const char *text, bool open, enum err_code code, const char *part)
{
    struct clip_config c;
    struct err         err = ERR_INIT;
    int                rc  = parse(text, open, &c, &err);
    if (rc != (int)code || !strstr(err.msg, part) || !strstr(err.msg, "f.json"))
        fail_msg("%s: %d \"%s\" does not say \"%s\"", text, rc, err.msg, part);
}

static void missing_keys_are_those_of_vit_b_32(void **state)
{
    (void)state;
    struct clip_config c;
    assert_int_equal(parse("{\"model_type\":\"clip\"}", false, &c, NULL), 0);
    assert_int_equal(c.vision.width * 1000 + c.vision.layers * 10 + c.patch / 32, 768121);
    assert_int_equal(c.vision.heads, 12);
    assert_int_equal(c.vision.mlp, 3072);
    assert_int_equal(c.text.width, 512);
    assert_int_equal(c.text.heads, 8);
    assert_int_equal(c.vocabulary, 49408);
    assert_int_equal(c.positions, 77);
    assert_int_equal(c.image_size, 224);
    assert_int_equal(c.dim, 512);
    assert_int_equal(c.eos, 49407);
    assert_int_equal(c.text.act, ACT_QUICK_GELU);
}

static void the_legacy_dict_wins_wholly(void **state)
{
    (void)state;
    struct clip_config c;
    assert_int_equal(parse("{\"model_type\":\"clip\",\"text_config\":{\"hidden_size\":640,"
                           "\"vocab_size\":100},\"text_config_dict\":{\"hidden_size\":768,"
                           "\"eos_token_id\":2,\"num_attention_heads\":12},"
                           "\"vision_config\":{\"patch_size\":[14,14],\"image_size\":336},"
                           "\"vision_config_dict\":null}",
                           false, &c, NULL),
                     0);
    assert_int_equal(c.text.width, 768);
    assert_int_equal(c.vocabulary, 49408); /* not 100 */
    assert_int_equal(c.eos, CLIP_EOS_LARGEST);
    assert_int_equal(c.patch, 14);
    assert_int_equal(c.image_size, 336);
}

static void other_models_are_refused(void **state)
{
    (void)state;
#define VISION(body) "{\"model_type\":\"clip\",\"vision_config\":{" body "}}"
    refused("{}", false, ERR_FORMAT, "no model_type");
    refused("{\"model_type\":\"siglip\"}", false, ERR_UNSUPPORTED, "siglip");
    refused("{\"model_type\":\"clip_vision_model\"}", false, ERR_UNSUPPORTED, "both");
    refused(VISION("\"hidden_size\":0"), false, ERR_FORMAT, "vision_config.hidden_size is 0");
    refused(VISION("\"hidden_size\":1000000"), false, ERR_FORMAT, "expected 1 to 16384");
    refused(VISION("\"hidden_size\":\"x\""), false, ERR_FORMAT, "not a whole number");
    refused(VISION("\"num_hidden_layers\":201"), false, ERR_FORMAT, "expected 1 to 200");
    refused(VISION("\"num_attention_heads\":7"), false, ERR_FORMAT, "shared by 7 heads");
    refused(VISION("\"num_channels\":4"), false, ERR_UNSUPPORTED, "num_channels is 4");
    refused(VISION("\"hidden_act\":\"silu\""), false, ERR_UNSUPPORTED, "silu");
    refused(VISION("\"layer_norm_eps\":-1"), false, ERR_FORMAT, "layer_norm_eps");
    refused(VISION("\"patch_size\":225"), false, ERR_FORMAT, "patches of 225");
    refused(VISION("\"patch_size\":1"), false, ERR_FORMAT, "patches of 1");
    refused(VISION("\"image_size\":[224,336]"), false, ERR_UNSUPPORTED, "square");
    refused("{\"model_type\":\"clip\",\"text_config\":{\"eos_token_id\":[1,2]}}", false,
            ERR_UNSUPPORTED, "eos_token_id");
}

static void open_clip_is_understood(void **state)
{
    (void)state;
    struct clip_config c;
#define OPEN(vision, text)                                                                         \
    "{\"model_cfg\":{\"embed_dim\":1024,\"vision_cfg\":{\"layers\":32,\"width\":1280,"             \
    "\"head_width\":80,\"patch_size\":14" vision "},\"text_cfg\":{\"width\":1024,\"heads\":16,"    \
    "\"layers\":24" text "}}}"
    assert_int_equal(parse(OPEN("", ""), true, &c, NULL), 0);
    assert_true(c.open_clip);
    assert_int_equal(c.vision.heads, 16);
    assert_int_equal(c.vision.mlp, 5120);
    assert_int_equal(c.vision.act, ACT_GELU);
    assert_int_equal(c.text.layers, 24);
    assert_int_equal(c.eos, CLIP_EOS_LARGEST);
    refused("{\"model_cfg\":{}}", true, ERR_FORMAT, "no model_cfg");
    refused(OPEN(",\"timm_model_name\":\"x\"", ""), true, ERR_UNSUPPORTED, "timm_model_name");
    refused(OPEN(",\"pool_type\":\"avg\"", ""), true, ERR_UNSUPPORTED, "pool_type");
    refused(OPEN("", ",\"no_causal_mask\":true"), true, ERR_UNSUPPORTED, "no_causal_mask");
    refused(OPEN("", ",\"mlp_ratio\":65"), true, ERR_FORMAT, "mlp_ratio");
    assert_int_equal(
        parse(OPEN(",\"attentional_pool\":false", ",\"embed_cls\":null"), true, &c, NULL), 0);
}

static void open_clip_says_how_to_preprocess(void **state)
{
    (void)state;
    const struct clip_config c    = {.image_size = 224};
    struct preprocess        p    = {0};
    struct jnode            *root = NULL;
    const char *text = "{\"preprocess_cfg\":{\"mean\":[0.5,0.25,0.125],\"std\":[1,1,2],"
                       "\"interpolation\":\"bilinear\",\"resize_mode\":\"squash\"}}";
    assert_int_equal(jnode_parse(text, strlen(text), "test", &root, NULL), 0);
    assert_int_equal(clip_preprocess_parse_open(root, "f", &c, &p, NULL), 0);
    assert_true(p.mean[1] == 0.25f && p.std[2] == 2.0f);
    assert_int_equal(p.resample, RESAMPLE_BILINEAR);
    assert_int_equal(p.resize_w, 224);
    assert_int_equal(p.crop_w, 0);
    jnode_free(root);
    assert_int_equal(clip_preprocess_parse_open(NULL, "f", &c, &p, NULL), 0);
    assert_int_equal(p.shortest_edge, 224);
    assert_int_equal(p.resample, RESAMPLE_BICUBIC);
    assert_true(p.mean[0] == 0.48145466f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_keys_are_those_of_vit_b_32),
        cmocka_unit_test(the_legacy_dict_wins_wholly),
        cmocka_unit_test(other_models_are_refused),
        cmocka_unit_test(open_clip_is_understood),
        cmocka_unit_test(open_clip_says_how_to_preprocess),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
