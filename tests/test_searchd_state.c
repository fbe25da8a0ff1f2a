/* Unit tests of what searchd keeps and guards: who may ask, known embeddings,
 * counters, files below a folder, thumbnails' names. */
#include "searchd/access.h"
#include "searchd/beneath.h"
#include "searchd/embed_cache.h"
#include "searchd/metrics.h"
#include "searchd/thumbnail.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- Who may ask ---- */

static struct sockaddr_storage peer_of(const char *text)
{
    struct sockaddr_storage out = {0};
    struct sockaddr_in     *v4  = (struct sockaddr_in *)&out;
    struct sockaddr_in6    *v6  = (struct sockaddr_in6 *)&out;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
        out.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
        out.ss_family = AF_INET6;
    else
        out.ss_family = AF_UNIX;
    return out;
}

static bool trusts(const struct access *access, const char *peer)
{
    struct sockaddr_storage p = peer_of(peer);
    return access_peer_is_trusted(access, &p);
}

static void networks(void **state)
{
    (void)state;
    struct access access = {.n_tokens = 0};
    assert_int_equal(access_add_network(&access, "10.1.2.0/23", NULL), 0);
    assert_int_equal(access_add_network(&access, "192.168.7.9", NULL), 0);
    assert_int_equal(access_add_network(&access, "fd00::/9", NULL), 0);
    static const char *const inside[]  = {"10.1.2.0", "10.1.3.255",      "192.168.7.9", "fd00::1",
                                          "fd7f::",   "::ffff:10.1.2.9", "unix"};
    static const char *const outside[] = {"10.1.4.0", "10.1.1.255", "192.168.7.8", "fc00::1",
                                          "fe00::",   "::1",        "::10.1.2.9",  "127.0.0.1"};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (!trusts(&access, inside[i]))
            fail_msg("%s", inside[i]);
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        if (trusts(&access, outside[i]))
            fail_msg("%s", outside[i]);
    static const char *const wrong[] = {"10.0.0.0/33", "::/129",      "10.0.0.0/-1",
                                        "10.0.0.0/",   "10.0.0/8",    "",
                                        "x",           "10.0.0.0/8x", "10.0.0.0/ 8"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (access_add_network(&access, wrong[i], NULL) != ERR_USAGE)
            fail_msg("%s", wrong[i]);
    struct access everyone = {.n_tokens = 0};
    assert_int_equal(access_add_network(&everyone, "0.0.0.0/0", NULL), 0);
    assert_true(trusts(&everyone, "8.8.8.8"));
    assert_false(trusts(&everyone, "fd00::1"));
}

static void tokens(void **state)
{
    (void)state;
    char          path[] = "/tmp/osprey-tokens-XXXXXX";
    int           fd     = mkstemp(path);
    struct access access = {.n_tokens = 0};
    const char    text[] = "# ours\n  abcdefghijklmnop  # the first\r\n\nqrstuvwxyz-._~+/=0";
    assert_int_equal(write(fd, text, sizeof text - 1), (ssize_t)sizeof text - 1);
    close(fd);
    assert_int_equal(access_read_tokens(&access, path, NULL), 0);
    assert_int_equal(access.n_tokens, 2);
    assert_true(access_token_is_right(&access, "abcdefghijklmnop", 16));
    assert_true(access_token_is_right(&access, "qrstuvwxyz-._~+/=0", 18));
    assert_false(access_token_is_right(&access, "abcdefghijklmnop", 15));
    assert_false(access_token_is_right(&access, "abcdefghijklmnop\0", 17));
    assert_false(access_token_is_right(&access, "", 0));
    char longer[400];
    memset(longer, 'a', sizeof longer);
    assert_false(access_token_is_right(&access, longer, sizeof longer));
    access_release(&access);
    assert_false(access_token_is_right(&access, "", 0));
    unlink(path);
}

static enum access_verdict ask(const struct access *access, const char *host, const char *origin,
                               const char *token, const char *cookie, const char *peer)
{
    struct http_request r = {.method        = "GET",
                             .host          = host,
                             .origin        = origin,
                             .authorization = token,
                             .cookie        = cookie,
                             .peer          = peer_of(peer)};
    return access_check(access, &r, false);
}

static void verdicts(void **state)
{
    (void)state;
    char          token[] = "abcdefghijklmnop";
    struct access open    = {.n_tokens = 0};
    struct access closed  = {.n_tokens = 1, .tokens = {token}};
    struct access nobody  = {.required = true};
    assert_int_equal(ask(&open, "localhost", NULL, NULL, NULL, "127.0.0.1"), ACCESS_GRANTED);
    assert_int_equal(ask(&open, NULL, NULL, NULL, NULL, "127.0.0.1"), ACCESS_GRANTED);
    assert_int_equal(ask(&open, "evil", NULL, NULL, NULL, "127.0.0.1"), ACCESS_WRONG_HOST);
    assert_int_equal(ask(&open, "localhost", "http://localhost", NULL, NULL, "127.0.0.1"),
                     ACCESS_GRANTED);
    assert_int_equal(ask(&open, "localhost", "http://localhost:1", NULL, NULL, "127.0.0.1"),
                     ACCESS_WRONG_ORIGIN);
    assert_int_equal(ask(&closed, "localhost", NULL, NULL, NULL, "127.0.0.1"), ACCESS_NEEDS_TOKEN);
    assert_int_equal(ask(&closed, "localhost", NULL, NULL, NULL, "unix"), ACCESS_GRANTED);
    assert_int_equal(ask(&closed, "evil", NULL, "Bearer abcdefghijklmnop", NULL, "9.9.9.9"),
                     ACCESS_GRANTED);
    assert_int_equal(
        ask(&closed, "1.2.3.4", NULL, NULL, "x=y; osprey_token=abcdefghijklmnop", "9.9.9.9"),
        ACCESS_GRANTED);
    assert_int_equal(ask(&closed, "1.2.3.4", NULL, NULL, "osprey_token=abcdefghijklmno", "9.9.9.9"),
                     ACCESS_NEEDS_TOKEN);
    assert_int_equal(ask(&closed, "1.2.3.4", NULL, NULL, "osprey_token=", "9.9.9.9"),
                     ACCESS_NEEDS_TOKEN);
    assert_int_equal(ask(&nobody, "1.2.3.4", NULL, NULL, NULL, "127.0.0.1"), ACCESS_NEEDS_TOKEN);
    assert_int_equal(ask(&nobody, "1.2.3.4", NULL, "Bearer ", "osprey_token=", "127.0.0.1"),
                     ACCESS_NEEDS_TOKEN);
}

/* ---- Known embeddings ---- */

static void the_longest_unused_goes(void **state)
{
    (void)state;
    struct embed_cache *cache = NULL;
    float               out[2];
    assert_int_equal(embed_cache_new(3, 2, &cache, NULL), 0);
    static const char *const texts[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++)
        embed_cache_put(cache, texts[i], (const float[]){(float)i, 1});
    assert_true(embed_cache_get(cache, "a", out));
    embed_cache_put(cache, "d", (const float[]){3, 1});
    assert_int_equal(embed_cache_count(cache), 3);
    assert_false(embed_cache_get(cache, "b", out));
    assert_true(embed_cache_get(cache, "a", out));
    assert_float_equal(out[0], 0, 0);
    assert_true(embed_cache_get(cache, "d", out));
    assert_float_equal(out[0], 3, 0);
    embed_cache_put(cache, "d", (const float[]){9, 9}); /* known: stays */
    assert_true(embed_cache_get(cache, "d", out));
    assert_float_equal(out[0], 3, 0);
    char *longer = calloc(EMBED_CACHE_MAX_TEXT + 2, 1);
    assert_non_null(longer);
    memset(longer, 'x', EMBED_CACHE_MAX_TEXT + 1);
    embed_cache_put(cache, longer, out);
    assert_false(embed_cache_get(cache, longer, out));
    longer[EMBED_CACHE_MAX_TEXT] = '\0';
    embed_cache_put(cache, longer, out);
    assert_true(embed_cache_get(cache, longer, out));
    free(longer);
    embed_cache_free(cache);
    assert_int_equal(embed_cache_new(0, 2, &cache, NULL), 0);
    embed_cache_put(cache, "a", out);
    assert_false(embed_cache_get(cache, "a", out));
    embed_cache_free(cache);
    embed_cache_free(NULL);
}

static void *fill_and_look(void *arg)
{
    struct embed_cache *cache = arg;
    unsigned            seed  = (unsigned)(uintptr_t)&seed;
    for (int i = 0; i < 3000; i++) {
        char  text[16];
        float out[2];
        int   number = (int)(rand_r(&seed) % 200);
        snprintf(text, sizeof text, "text %d", number);
        if (embed_cache_get(cache, text, out)) {
            if (out[0] != (float)number || out[1] != -(float)number)
                return arg;
        } else {
            embed_cache_put(cache, text, (const float[]){(float)number, -(float)number});
        }
    }
    return NULL;
}

static void many_threads_share_it(void **state)
{
    (void)state;
    struct embed_cache *cache = NULL;
    pthread_t           threads[4];
    assert_int_equal(embed_cache_new(100, 2, &cache, NULL), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fill_and_look, cache), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    assert_int_equal(embed_cache_count(cache), 100);
    embed_cache_free(cache);
}

/* ---- Counters ---- */

static void counters_are_written(void **state)
{
    (void)state;
    struct metrics *m = NULL;
    struct buf      out;
    assert_int_equal(metrics_new(&m, NULL), 0);
    metrics_observe(m, STAGE_SEARCH, 0.2);
    metrics_observe(m, STAGE_SEARCH, 3);
    metrics_observe(m, STAGE_SEARCH, 1e9);
    metrics_reply(m, "/v1/search", 200);
    metrics_reply(m, "/v1/search", 200);
    metrics_reply(m, "/v1/search", 400);
    metrics_cache(m, 2, 5);
    metrics_batch(m, 4);
    const struct metrics_gauges  gauges  = {.connections = 7, .uptime_s = 1.5};
    const struct metrics_library library = {"a\"b\\c\n", 3, 2, 1};
    buf_init(&out, 1 << 20);
    assert_int_equal(metrics_write(m, &gauges, &library, 1, &out, NULL), 0);
    static const char *const lines[] = {
        "osprey_stage_seconds_bucket{stage=\"search\",le=\"0.00025\"} 1\n",
        "osprey_stage_seconds_bucket{stage=\"search\",le=\"0.0025\"} 1\n",
        "osprey_stage_seconds_bucket{stage=\"search\",le=\"0.005\"} 2\n",
        "osprey_stage_seconds_bucket{stage=\"search\",le=\"10\"} 2\n",
        "osprey_stage_seconds_bucket{stage=\"search\",le=\"+Inf\"} 3\n",
        "osprey_stage_seconds_count{stage=\"search\"} 3\n",
        "osprey_stage_seconds_count{stage=\"encode\"} 0\n",
        "osprey_replies_total{route=\"/v1/search\",status=\"200\"} 2\n",
        "osprey_replies_total{route=\"/v1/search\",status=\"400\"} 1\n",
        "osprey_cache_hits_total 2\n",
        "osprey_text_batched_total 4\n",
        "osprey_connections 7\n",
        "osprey_uptime_seconds 1.5\n",
        "osprey_library_images{library=\"a\\\"b\\\\c\\n\"} 3\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(buf_str(&out), lines[i]))
            fail_msg("%s", lines[i]);
    buf_release(&out);
    metrics_free(m);
}

/* ---- Files below a folder ---- */

typedef int (*opener)(const char *, const char *, int *, struct stat *, struct err *);

static int try_open(opener open_it, const char *folder, const char *path)
{
    int         fd;
    struct stat st;
    int         rc = open_it(folder, path, &fd, &st, NULL);
    if (!rc)
        close(fd);
    return rc;
}

static void put(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void nothing_outside_is_opened(void **state)
{
    (void)state;
    char top[] = "/tmp/osprey-beneath-XXXXXX";
    assert_non_null(mkdtemp(top));
    assert_int_equal(chdir(top), 0);
    assert_int_equal(mkdir("in", 0700) | mkdir("in/sub", 0700) | mkdir("out", 0700), 0);
    put("in/file");
    put("in/sub/file");
    put("out/file");
    assert_int_equal(symlink("../out/file", "in/escape") | symlink("/etc/passwd", "in/absolute") |
                         symlink("../out", "in/dir") | symlink("sub/file", "in/inside") |
                         mkfifo("in/fifo", 0600),
                     0);
    char in[64];
    snprintf(in, sizeof in, "%s/in", top);
    const opener both[] = {beneath_open, beneath_open_stepwise};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(try_open(both[i], in, "file"), 0);
        assert_int_equal(try_open(both[i], in, "sub/file"), 0);
        static const char *const refused[] = {"escape",
                                              "absolute",
                                              "dir/file",
                                              "../out/file",
                                              "/etc/passwd",
                                              "sub/../../out/file",
                                              "fifo",
                                              "sub",
                                              "none",
                                              "",
                                              "file/",
                                              "sub/",
                                              "."};
        for (size_t k = 0; k < sizeof refused / sizeof *refused; k++)
            if (try_open(both[i], in, refused[k]) != ERR_NOTFOUND)
                fail_msg("%d %s", i, refused[k]);
        assert_int_equal(try_open(both[i], "/tmp/osprey-there-is-none", "file"), ERR_NOTFOUND);
    }
    assert_int_equal(try_open(beneath_open_stepwise, in, "inside"), ERR_NOTFOUND);
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", top);
    assert_int_equal(chdir("/") | system(command), 0);
}

static void sides_of_thumbnails(void **state)
{
    (void)state;
    static const int cases[][2] = {{1, 160},   {160, 160},  {161, 320},
                                   {640, 640}, {641, 1280}, {1280, 1280}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(thumbnail_side(cases[i][0]), cases[i][1]);
    struct library_image image = {.hash = {0xab, 1}};
    char                 tag[THUMBNAIL_ETAG];
    thumbnail_etag(&image, NULL, 320, tag);
    assert_string_equal(tag, "\"ab010000000000000000000000000000-320\"");
    struct image_part page  = {.page = 6, .time_ms = IMAGE_ANY_TIME};
    struct image_part frame = {.time_ms = INT32_MAX};
    thumbnail_etag(&image, &page, 320, tag);
    assert_string_equal(tag, "\"ab010000000000000000000000000000-p7-320\"");
    thumbnail_etag(&image, &frame, 1280, tag);
    assert_string_equal(tag, "\"ab010000000000000000000000000000-t2147483647-1280\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks),
        cmocka_unit_test(tokens),
        cmocka_unit_test(verdicts),
        cmocka_unit_test(the_longest_unused_goes),
        cmocka_unit_test(many_threads_share_it),
        cmocka_unit_test(counters_are_written),
        cmocka_unit_test(nothing_outside_is_opened),
        cmocka_unit_test(sides_of_thumbnails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
