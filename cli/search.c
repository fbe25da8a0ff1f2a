/* osprey search: pictures by words, pictures, or both. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/places.h"
#include "cli/remote.h"
#include "cli/results.h"
#include "cli/system.h"
#include "cli/terms.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "image/formats.h"
#include "storage/library_rerank.h"
#include "storage/library_server.h"
#include "storage/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char help[] =
    "Finds the pictures that fit words, pictures, or a sum of both.\n"
    "\n"
    "Usage: osprey search [OPTION...] TERM... [-- TEXT...]\n"
    "       osprey search FILTER...\n"
    "\n"
    "Words join into one text. A lone + or - starts another term, wanted or not\n"
    "wanted. 2: before a term weighs it. A term that has a / and names a file is a\n"
    "picture. After -- everything is one literal text. Without any term, what the\n"
    "filters let pass is listed by date, the last first.\n"
    "\n"
    "  --image FILE        a picture as a term\n"
    "  -k N                how many results (default 20)\n"
    "  --min-score X       only results with at least this score\n"
    "  --min-match X       only results at least so good a match, 0 to 1 (0.35: good)\n"
    "  --pages             every page of a scan, frame of a video that fits\n"
    "  --hybrid            also by names, folders, tags and captions, fused by rank\n"
    "  --rerank[=N]        look at the first N (50) again, picture and text together\n"
    "  --reranker DIR      with the re-ranker in this folder instead of the model's own\n"
    "  --server URL        ask the daemon there; one on this machine that serves the\n"
    "                      library is asked anyway (none: search here)\n"
    "  --preview[=WxH]     show the pictures in the terminal, at most WxH characters\n" HELP_FILTERS
        HELP_LIBRARY HELP_MODEL HELP_PRECISION HELP_OUTPUT "\n"
    "Exit status: 0 found, 1 nothing found, 2 wrong usage, 3 failed.\n"
    "\n"
    "Examples:\n"
    "  osprey search a dog on a beach\n"
    "  osprey search a beach - people\n"
    "  osprey search 2:at night + ./street.jpg\n"
    "  osprey search --json -k 100 --in ~/Pictures/2024 -- 16:9 wallpaper\n"
    "  osprey search --tag animal --after 2019 --before 2021-06\n";

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcasecmp(text + n - m, end) == 0;
}

static bool is_picture_term(const struct terms *terms, const char *word)
{
    for (size_t i = 0; i < terms->n; i++) {
        /* the word may have a weight before the file's name */
        if (terms->items[i].is_image && ends_with(word, terms->items[i].text))
            return true;
    }
    return false;
}

/* Tells of words that look like a mistyped picture, or like one that would have
 * to stand alone. */
static void note_odd_words(const struct common *common, const struct args *args,
                           const struct terms *terms)
{
    for (size_t i = 0; i < args->n; i++) {
        const char *word = args->items[i].text;
        if (args->items[i].kind != ARG_WORD || !strchr(word, '/') || is_picture_term(terms, word))
            continue;
        if (is_file(word))
            note(common,
                 "%s stands among words and is taken as one: put + before it to search with the "
                 "picture",
                 word);
        else if (format_is_candidate(word))
            note(common, "there is no file %s: taken as words", word);
    }
}

/* Reads the pictures among the terms; query: (terms->n). */
static int load_terms(const struct terms *terms, struct query_term *query, struct err *err)
{
    for (size_t i = 0; i < terms->n; i++) {
        const struct term *t = &terms->items[i];
        query[i].weight      = t->weight;
        if (!t->is_image) {
            query[i].text = t->text;
            continue;
        }
        uint8_t *bytes = NULL;
        int      rc = file_read(t->text, QUERY_MAX_IMAGE_BYTES, &bytes, &query[i].image_len, err);
        if (rc)
            return rc;
        query[i].image = bytes;
        query[i].name  = t->text;
    }
    return 0;
}

static int check_rerank(const struct terms *terms, struct err *err)
{
    for (size_t i = 0; i < terms->n; i++) {
        if (!terms->items[i].is_image)
            return 0;
    }
    return err_set(err, ERR_USAGE,
                   "--rerank looks at pictures together with a text, and there is no text here");
}

/* The words that are wanted, in one text: what a hybrid search looks for. Freed by the
 * caller. */
static int wanted_words(const struct terms *terms, char **out, struct err *err)
{
    struct buf words;
    int        rc = 0;
    buf_init(&words, (size_t)1 << 20);
    for (size_t i = 0; i < terms->n && !rc; i++) {
        const struct term *t = &terms->items[i];
        if (t->is_image || t->weight <= 0)
            continue;
        rc = words.len ? buf_append_str(&words, " ", err) : 0;
        rc = rc ? rc : buf_append_str(&words, t->text, err);
    }
    if (!rc && words.len == 0)
        rc = err_set(err, ERR_USAGE, "--hybrid looks for words, and no text is wanted here");
    if (!rc && !(*out = buf_steal(&words)))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    buf_release(&words);
    return rc;
}

/* Nothing to search for: what the filters let pass. */
static int list(struct session *s, const struct results_request *request, size_t *shown,
                struct err *err)
{
    int rc = session_library(s, err);
    return rc ? rc : results_show(s, request, shown, err);
}

static enum library_query query_kind(const struct terms *terms)
{
    size_t n_images = 0;
    for (size_t i = 0; i < terms->n; i++)
        n_images += terms->items[i].is_image;
    return library_query_kind(terms->n - n_images, n_images);
}

static int search(struct session *s, const struct terms *terms, const char *reranker,
                  struct results_request *request, size_t *shown, struct err *err)
{
    struct query_term *query  = mem_zeroed(terms->n, sizeof *query);
    float             *vector = NULL;
    int                rc     = query ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc)
        rc = load_terms(terms, query, err);
    if (!rc)
        rc = session_library(s, err);
    if (!rc)
        rc = session_library_encoder(s, err);
    if (!rc && request->rerank)
        rc = session_reranker(s, reranker, err);
    if (rc)
        goto out;
    vector = mem_array((size_t)encoder_info(s->enc)->dim, sizeof *vector);
    if (!vector) {
        rc = err_set(err, ERR_NOMEM, "out of memory");
        goto out;
    }
    rc = query_encode(s->enc, s->scratch, query, terms->n, vector, err);
    if (rc)
        goto out;
    request->vector  = vector;
    request->terms   = query;
    request->n_terms = terms->n;
    request->kind    = query_kind(terms);
    rc               = results_show(s, request, shown, err);
out:
    for (size_t i = 0; query && i < terms->n; i++)
        free((void *)query[i].image);
    free(query);
    free(vector);
    return rc;
}

/* A daemon that serves this library on this machine answers sooner, since it has the
 * model open; where it cannot, there is the way without. false: none was asked, or it
 * could not answer. */
static bool ask_daemon(const struct common *common, const struct terms *terms, const char *reranker,
                       const struct results_request *request, size_t *shown)
{
    char *dir = NULL, *url = NULL;
    bool  answered = false;
    if (common->model || common->precision != PRECISION_AUTO || request->preview || reranker)
        return false;
    if (common->library || !library_default_dir(&dir, NULL))
        answered = !library_server_find(common->library ? common->library : dir, &url, NULL) &&
                   !remote_search(url, false, common, terms, request, shown, NULL);
    free(url);
    free(dir);
    return answered;
}

/* A daemon finds nothing in a folder that is not there; that is said here. */
static int check_folder(struct session *s, const struct results_request *request, struct err *err)
{
    struct places places = {0};
    int           rc     = session_library(s, err);
    if (!rc)
        rc = places_init(&places, s, &request->filters.in, 1, err);
    places_release(&places);
    return rc;
}

static int search_somewhere(struct session *s, const char *server, const char *reranker,
                            const struct terms *terms, struct results_request *request,
                            size_t *shown, struct err *err)
{
    if (server && strcmp(server, "none") != 0)
        return remote_search(server, true, s->common, terms, request, shown, err);
    if (terms->n == 0)
        return list(s, request, shown, err);
    if (!server && ask_daemon(s->common, terms, reranker, request, shown))
        return *shown == 0 && request->filters.in ? check_folder(s, request, err) : 0;
    return search(s, terms, reranker, request, shown, err);
}

/* What does not go together. */
static int check_options(const struct common *common, const struct results_request *request,
                         const char *rerank, const char *reranker, const char *server, bool hybrid,
                         struct err *err)
{
    bool remote = server && strcmp(server, "none") != 0;
    if (common->json && request->preview)
        return err_set(err, ERR_USAGE, "--preview does not go with --json");
    if (reranker && !rerank)
        return err_set(err, ERR_USAGE, "--reranker goes with --rerank");
    if (remote && reranker)
        return err_set(err, ERR_USAGE, "--reranker does not go with --server");
    if (server && request->preview)
        return err_set(err, ERR_USAGE, "--preview does not go with --server");
    if (hybrid && rerank)
        return err_set(err, ERR_USAGE, "--rerank does not go with --hybrid");
    if (hybrid && request->every_page)
        return err_set(err, ERR_USAGE, "--pages does not go with --hybrid");
    return 0;
}

/* Without a term, filters alone may ask. */
static int read_terms(const struct args *args, const struct results_request *request, bool hybrid,
                      const char *rerank, struct terms *terms, struct err *err)
{
    if (args->n == 0 && filters_given(&request->filters)) {
        if (rerank || hybrid || request->has_min_score || request->has_min_match)
            return err_set(err, ERR_USAGE, "%s needs something to search for",
                           rerank                   ? "--rerank"
                           : hybrid                 ? "--hybrid"
                           : request->has_min_score ? "--min-score"
                                                    : "--min-match");
        return 0;
    }
    return terms_parse(args, is_file, terms, err);
}

int cmd_search(int argc, char **argv)
{
    struct common            common;
    struct args              args    = {0};
    struct terms             terms   = {0};
    struct results_request   request = {0};
    struct session           session = SESSION_INIT(&common);
    struct err               err     = ERR_INIT;
    size_t                   shown   = 0;
    const char              *rerank = NULL, *reranker = NULL, *server = NULL;
    char                    *words  = NULL;
    bool                     hybrid = false;
    const struct option_spec own[]  = {
         {.name = "--image", .kind = OPTION_IMAGE},
         {.name   = "--min-score",
          .kind   = OPTION_REAL,
          .target = &request.min_score,
          .given  = &request.has_min_score},
         {.name   = "--min-match",
          .kind   = OPTION_REAL,
          .target = &request.min_match,
          .given  = &request.has_min_match},
         FILTER_OPTIONS(request.filters),
         {.name = "--pages", .kind = OPTION_FLAG, .target = &request.every_page},
         {.name = "--hybrid", .kind = OPTION_FLAG, .target = &hybrid},
         {.name = "--rerank", .kind = OPTION_MAYBE, .target = &rerank},
         {.name = "--reranker", .kind = OPTION_TEXT, .target = &reranker},
         {.name = "--server", .kind = OPTION_TEXT, .target = &server},
         {.name = "--preview", .kind = OPTION_MAYBE, .target = &request.preview},
    };
    int rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc)
        rc = check_options(&common, &request, rerank, reranker, server, hybrid, &err);
    if (!rc)
        rc = filters_parse(&request.filters, &err);
    if (!rc)
        rc = read_terms(&args, &request, hybrid, rerank, &terms, &err);
    if (!rc && hybrid)
        rc = wanted_words(&terms, &words, &err);
    if (!rc && rerank)
        rc = parse_rerank(rerank, &request.rerank, &err);
    if (!rc && rerank)
        rc = check_rerank(&terms, &err);
    if (rc)
        goto out;
    note_odd_words(&common, &args, &terms);
    request.k     = common.k;
    request.words = words;
    rc            = search_somewhere(&session, server, reranker, &terms, &request, &shown, &err);
out:
    session_release(&session);
    terms_release(&terms);
    args_release(&args);
    free(words);
    if (rc)
        return fail("search", &err);
    return shown || common.help ? EXIT_FOUND : EXIT_NOTHING;
}
