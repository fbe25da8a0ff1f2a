/* Tests of core/image/preprocess: configurations in all their shapes, and pixels
 * equal to those of transformers' Pillow-based CLIP processor. */
#include "image/preprocess.h"
#include "tests/picture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, struct preprocess *p, struct err *err)
{
    struct jnode *node = NULL;
    assert_int_equal(jnode_parse(text, strlen(text), "test", &node, err), 0);
    int rc = preprocess_parse(node, p, err);
    jnode_free(node);
    return rc;
}

static void clip_configurations_are_read(void **state)
{
    (void)state;
    struct err        err = ERR_INIT;
    struct preprocess p;
    /* As openai/clip-vit-base-patch32 has it. */
    assert_int_equal(parse("{\"crop_size\": 224, \"do_center_crop\": true, \"do_normalize\": true,"
                           " \"do_resize\": true, \"feature_extractor_type\":"
                           " \"CLIPFeatureExtractor\", \"image_mean\": [0.48145466, 0.4578275,"
                           " 0.40821073], \"image_std\": [0.26862954, 0.26130258, 0.27577711],"
                           " \"resample\": 3, \"size\": 224}",
                           &p, &err),
                     0);
    assert_int_equal(p.shortest_edge, 224);
    assert_int_equal(p.resize_w, 0);
    assert_int_equal(p.resample, RESAMPLE_BICUBIC);
    assert_int_equal(p.crop_w, 224);
    assert_int_equal(p.crop_h, 224);
    assert_int_equal(p.out_w, 224);
    assert_int_equal(p.out_h, 224);
    assert_float_equal(p.rescale, 1.0f / 255.0f, 1e-9f);
    assert_float_equal(p.mean[1], 0.4578275f, 1e-7f);
    assert_float_equal(p.std[2], 0.27577711f, 1e-7f);
    assert_int_equal(preprocess_min_side(&p), 224);

    /* Nothing said: CLIP's defaults. */
    struct preprocess q;
    assert_int_equal(parse("{}", &q, &err), 0);
    assert_memory_equal(q.mean, p.mean, sizeof p.mean);
    assert_memory_equal(q.std, p.std, sizeof p.std);
    assert_int_equal(q.shortest_edge, 224);
    assert_int_equal(q.crop_w, 224);
}

static void other_shapes_are_read(void **state)
{
    (void)state;
    struct err        err = ERR_INIT;
    struct preprocess p;
    assert_int_equal(parse("{\"size\": {\"shortest_edge\": 256}, \"crop_size\": {\"height\": 200,"
                           " \"width\": 240}, \"resample\": 2, \"do_rescale\": false}",
                           &p, &err),
                     0);
    assert_int_equal(p.shortest_edge, 256);
    assert_int_equal(p.out_w, 240);
    assert_int_equal(p.out_h, 200);
    assert_int_equal(p.resample, RESAMPLE_BILINEAR);
    assert_float_equal(p.rescale, 1.0, 0.0);

    assert_int_equal(parse("{\"image_processor_type\": \"ViTImageProcessor\", \"size\": 384,"
                           " \"resample\": 0, \"do_normalize\": false, \"do_resize\": true}",
                           &p, &err),
                     0);
    assert_int_equal(p.shortest_edge, 0);
    assert_int_equal(p.resize_w, 384);
    assert_int_equal(p.resize_h, 384);
    assert_int_equal(p.crop_w, 0);
    assert_int_equal(p.out_w, 384);
    assert_float_equal(p.mean[0], 0.0, 0.0);
    assert_float_equal(p.std[0], 1.0, 0.0);

    assert_int_equal(parse("{\"image_processor_type\": \"Other\", \"size\": {\"height\": 100,"
                           " \"width\": 300}, \"resample\": 3, \"image_mean\": 0.5,"
                           " \"image_std\": [0.5, 0.25, 0.125], \"rescale_factor\": 0.01}",
                           &p, &err),
                     0);
    assert_int_equal(p.out_w, 300);
    assert_int_equal(p.out_h, 100);
    assert_int_equal(preprocess_min_side(&p), 300);
    assert_float_equal(p.mean[2], 0.5, 0.0);
    assert_float_equal(p.std[2], 0.125, 0.0);
    assert_float_equal(p.rescale, 0.01f, 1e-9f);

    assert_int_equal(parse("{\"do_resize\": false, \"crop_size\": 64}", &p, &err), 0);
    assert_int_equal(preprocess_min_side(&p), 0); /* full scale: nothing is resized */
    assert_int_equal(p.out_w, 64);
}

static void the_default_model_is_read(void **state)
{
    (void)state;
    struct err        err    = ERR_INIT;
    struct jnode     *config = NULL;
    struct preprocess p;
    if (jnode_parse_file(TEST_MODELS "/osprey-small/preprocessor_config.json", 1 << 16, &config,
                         &err) ||
        preprocess_parse(config, &p, &err))
        fail_msg("%s", err.msg);
    jnode_free(config);
    assert_int_equal(p.out_w, 224);
    assert_int_equal(p.out_h, 224);
    assert_int_equal(preprocess_min_side(&p), 224);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
        int         code;
    } cases[] = {
        {"[]", "JSON object", ERR_FORMAT},
        {"{\"size\": \"big\"}", "size is not a whole number", ERR_FORMAT},
        {"{\"size\": 0}", "size is 0", ERR_FORMAT},
        {"{\"size\": 224.5}", "size is not a whole number", ERR_FORMAT},
        {"{\"size\": {\"shortest_edge\": 100000}}", "size.shortest_edge is 100000", ERR_FORMAT},
        {"{\"size\": {\"height\": 224}}", "size.width is missing", ERR_FORMAT},
        {"{\"size\": {\"shortest_edge\": 8, \"longest_edge\": 9}}", "longest_edge",
         ERR_UNSUPPORTED},
        {"{\"crop_size\": {\"width\": 224}}", "crop_size.height is missing", ERR_FORMAT},
        {"{\"crop_size\": [224, 224]}", "crop_size is not a whole number", ERR_FORMAT},
        {"{\"crop_size\": -1}", "crop_size is -1", ERR_FORMAT},
        {"{\"resample\": 1}", "resample is 1", ERR_UNSUPPORTED},
        {"{\"resample\": \"bicubic\"}", "resample", ERR_FORMAT},
        {"{\"do_resize\": 1}", "do_resize", ERR_FORMAT},
        {"{\"do_pad\": true}", "do_pad", ERR_UNSUPPORTED},
        {"{\"image_mean\": [0.5, 0.5]}", "image_mean has 2 elements", ERR_FORMAT},
        {"{\"image_mean\": [0.5, 0.5, \"x\"]}", "image_mean", ERR_FORMAT},
        {"{\"image_std\": [0.5, 0, 0.5]}", "image_std has 0", ERR_FORMAT},
        {"{\"rescale_factor\": 0}", "rescale_factor", ERR_FORMAT},
        {"{\"rescale_factor\": null, \"image_std\": [1, 1, -1]}", "image_std has -1", ERR_FORMAT},
        {"{\"do_center_crop\": false}", "different sizes", ERR_UNSUPPORTED},
        {"{\"image_processor_type\": \"Other\", \"size\": 224}", "not known for Other",
         ERR_UNSUPPORTED},
        {"{\"image_processor_type\": \"Other\"}", "size is missing", ERR_FORMAT},
        {"{\"image_processor_type\": \"ViT\", \"size\": 32, \"resample\": 2}",
         "image_mean is missing", ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err        err = ERR_INIT;
        struct preprocess p   = {.out_w = 77};
        if (parse(cases[i].text, &p, &err) != cases[i].code || !strstr(err.msg, cases[i].says))
            fail_msg("%s gave %d: %s", cases[i].text, (int)err.code, err.msg);
        assert_int_equal(p.out_w, 77);
    }
}

static void equals_transformers(void **state)
{
    (void)state;
    FILE *file = fopen(TEST_DATA "/preprocess.txt", "r");
    assert_non_null(file);
    int          iw, ih, edge, cw, ch, resample, cases = 0;
    unsigned int seed, crc;
    while (fscanf(file, "%d %d %d %d %d %d %u %x", &iw, &ih, &edge, &cw, &ch, &resample, &seed,
                  &crc) == 8) {
        struct err        err = ERR_INIT;
        struct preprocess p   = {.shortest_edge = edge,
                                 .resample      = (enum resample)resample,
                                 .crop_w        = cw,
                                 .crop_h        = ch,
                                 .out_w         = cw,
                                 .out_h         = ch};
        struct image      in  = picture_new(iw, ih, seed);
        size_t            n   = (size_t)cw * (size_t)ch * 3;
        uint8_t          *out = malloc(n);
        assert_non_null(in.data);
        assert_non_null(out);
        memset(out, 0xEE, n);
        assert_int_equal(preprocess_image(&p, &in, out, &err), 0);
        if (picture_crc(out, n) != crc)
            fail_msg("%d x %d, edge %d, crop %d x %d, resampling %d, seed %u", iw, ih, edge, cw, ch,
                     resample, seed);
        free(out);
        image_free(&in);
        cases++;
    }
    (void)fclose(file);
    assert_int_equal(cases, 125);
}

static void extreme_shapes_are_cheap(void **state)
{
    (void)state;
    /* Resized whole, the first would take 224 x 13,440,000 x 3 bytes: 9 GB. */
    static const int  sizes[][2] = {{1, 60000}, {60000, 1}, {1, 1000000}, {1, 1}};
    struct preprocess p          = {.shortest_edge = 224,
                                    .resample      = RESAMPLE_BICUBIC,
                                    .crop_w        = 224,
                                    .crop_h        = 224,
                                    .out_w         = 224,
                                    .out_h         = 224};
    struct preprocess square     = {.resize_w = 224,
                                    .resize_h = 224,
                                    .resample = RESAMPLE_BILINEAR,
                                    .out_w    = 224,
                                    .out_h    = 224};
    uint8_t          *out        = malloc((size_t)224 * 224 * 3);
    assert_non_null(out);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct err   err = ERR_INIT;
        struct image in  = picture_new(sizes[i][0], sizes[i][1], 2);
        assert_non_null(in.data);
        memset(in.data, 200, (size_t)in.width * (size_t)in.height * 3);
        for (int k = 0; k < 2; k++) {
            memset(out, 0, (size_t)224 * 224 * 3);
            assert_int_equal(preprocess_image(k ? &square : &p, &in, out, &err), 0);
            for (size_t j = 0; j < (size_t)224 * 224 * 3; j++)
                assert_int_equal(out[j], 200);
        }
        image_free(&in);
    }
    struct err   err   = ERR_INIT;
    struct image empty = {0};
    assert_int_equal(preprocess_image(&p, &empty, out, &err), ERR_USAGE);
    struct image in = picture_new(1, 1000000, 2);
    p.shortest_edge = 4096;
    assert_int_equal(preprocess_image(&p, &in, out, &err), ERR_LIMIT);
    image_free(&in);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clip_configurations_are_read), cmocka_unit_test(other_shapes_are_read),
        cmocka_unit_test(the_default_model_is_read),    cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(equals_transformers),          cmocka_unit_test(extreme_shapes_are_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
