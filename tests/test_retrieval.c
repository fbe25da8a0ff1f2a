/* Unit tests of core/learn: captions files and retrieval metrics. */
#include "learn/captions.h"
#include "learn/retrieval.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int read_text(const char *text, struct captions *out, struct err *err)
{
    char path[] = "/tmp/osprey-captions-XXXXXX";
    int  fd     = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(file_replace(path, text, strlen(text), err), 0);
    int rc = captions_read(path, NULL, out, err);
    unlink(path);
    return rc;
}

static void captions_join_by_file_name(void **state)
{
    (void)state;
    struct captions c;
    struct err      err = ERR_INIT;
    assert_int_equal(read_text("b.jpg\tone\n\na.jpg\ttwo\r\nb.jpg\tthree\tmore\n", &c, &err), 0);
    assert_int_equal(c.n_images, 2);
    assert_int_equal(c.n_captions, 3);
    assert_string_equal(c.files[0], "b.jpg");
    assert_string_equal(c.files[1], "a.jpg");
    assert_string_equal(c.texts[1], "two");
    assert_string_equal(c.texts[2], "three\tmore");
    assert_int_equal(c.image_of[0], 0);
    assert_int_equal(c.image_of[1], 1);
    assert_int_equal(c.image_of[2], 0);
    captions_release(&c);
}

static void bad_captions_name_the_line(void **state)
{
    (void)state;
    struct captions c;
    struct err      err = ERR_INIT;
    assert_int_equal(read_text("a.jpg\tfine\nb.jpg no tab\n", &c, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "line 2"));
    assert_int_equal(read_text("a.jpg\t\n", &c, &err), ERR_FORMAT);
    assert_int_equal(read_text("\n\n", &c, &err), ERR_FORMAT);
}

/* Three pictures on the axes, two captions each; one caption lies nearer to a
 * wrong picture. */
static void metrics_equal_those_by_hand(void **state)
{
    (void)state;
    const float images[] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    const float texts[]  = {
         0.9f, 0.1f, 0,    /* picture 0: rank 1 */
         0.2f, 0.9f, 0,    /* picture 0: rank 2 */
         0,    0.8f, 0.1f, /* picture 1: rank 1 */
         0,    0.7f, 0.2f, /* picture 1: rank 1 */
         0.5f, 0.4f, 0.3f, /* picture 2: rank 3 */
         0.1f, 0,    0.6f, /* picture 2: rank 1 */
    };
    const int                image_of[] = {0, 0, 1, 1, 2, 2};
    struct retrieval_metrics t2i, i2t;
    struct err               err = ERR_INIT;
    assert_int_equal(retrieval_evaluate(images, 3, texts, 6, image_of, 3, 1, 1, &t2i, &i2t, &err),
                     0);
    assert_int_equal(t2i.n, 6);
    assert_float_equal(t2i.r1, 100.0 * 4 / 6, 1e-9);
    assert_float_equal(t2i.r5, 100.0, 1e-9);
    assert_float_equal(t2i.median_rank, 1, 1e-9);
    assert_float_equal(t2i.map, (4 + 0.5 + 1.0 / 3) / 6, 1e-9);
    assert_true(t2i.r1_ci.low <= t2i.r1 && t2i.r1 <= t2i.r1_ci.high);
    /* Image to text: picture 0 sees its captions at ranks 1 and 3, picture 1 at
     * 2 and 3 (0.9 of a wrong one is first), picture 2 at 1 and 2. */
    assert_int_equal(i2t.n, 3);
    assert_float_equal(i2t.r1, 100.0 * 2 / 3, 1e-9);
    assert_float_equal(i2t.map, ((1 + 2.0 / 3) / 2 + (1.0 / 2 + 2.0 / 3) / 2 + 1) / 3, 1e-9);
}

static void intervals_narrow_with_more_pictures(void **state)
{
    (void)state;
    enum { N = 400, DIM = 8 };
    float *images   = calloc(N * DIM, sizeof *images);
    float *texts    = calloc(N * DIM, sizeof *texts);
    int   *image_of = calloc(N, sizeof *image_of);
    for (int i = 0; i < N; i++) {
        for (int d = 0; d < DIM; d++) {
            images[i * DIM + d] = (float)((i * 7919 + d * 104729) % 1009) / 1009 - 0.5f;
            texts[i * DIM + d] =
                images[i * DIM + d] + (float)((i * 31 + d * 17) % 101) / 101 - 0.5f;
        }
        image_of[i] = i;
    }
    struct retrieval_metrics few, many, i2t, again;
    struct err               err = ERR_INIT;
    assert_int_equal(
        retrieval_evaluate(images, 40, texts, 40, image_of, DIM, 1, 1, &few, &i2t, &err), 0);
    assert_int_equal(
        retrieval_evaluate(images, N, texts, N, image_of, DIM, 1, 2, &many, &i2t, &err), 0);
    assert_int_equal(
        retrieval_evaluate(images, N, texts, N, image_of, DIM, 1, 1, &again, &i2t, &err), 0);
    assert_true(few.r1_ci.high - few.r1_ci.low > many.r1_ci.high - many.r1_ci.low);
    assert_float_equal(many.r10_ci.low, again.r10_ci.low, 0);
    assert_true(many.r1 < many.r5 && many.r5 < many.r10);
    free(images);
    free(texts);
    free(image_of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(captions_join_by_file_name),
        cmocka_unit_test(bad_captions_name_the_line),
        cmocka_unit_test(metrics_equal_those_by_hand),
        cmocka_unit_test(intervals_narrow_with_more_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
