/* POST /knn-service and GET /indices-list, as clip-retrieval's clients speak them.
 *
 * The answer is a list of {"id", "url", "caption", "similarity"}; url leads to the
 * picture here, caption is its path, since nothing else is known of it in words.
 * image_url is refused: the daemon fetches nothing from anywhere.
 */
#include "searchd/handlers.h"

#include "base/mem.h"
#include "searchd/answers.h"
#include "searchd/search.h"
#include "searchd/vectors.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DIM 65536

struct knn_input {
    const char         *text, *image, *image_url, *modality, *indice_name;
    const struct jnode *embedding_input;
    int64_t             num_images, num_result_ids;
};

static const struct field knn_fields[] = {
    {"text", FIELD_TEXT, 0, 0, offsetof(struct knn_input, text)},
    {"image", FIELD_TEXT, 0, 0, offsetof(struct knn_input, image)},
    {"image_url", FIELD_TEXT, 0, 0, offsetof(struct knn_input, image_url)},
    {"embedding_input", FIELD_NODE, 0, 0, offsetof(struct knn_input, embedding_input)},
    {"modality", FIELD_TEXT, 0, 0, offsetof(struct knn_input, modality)},
    {"indice_name", FIELD_TEXT, 0, 0, offsetof(struct knn_input, indice_name)},
    {"num_images", FIELD_INT, 1, 1e9, offsetof(struct knn_input, num_images)},
    {"num_result_ids", FIELD_INT, 1, 1e9, offsetof(struct knn_input, num_result_ids)},
};

static int read_query(struct call *call, const struct knn_input *input, struct terms *terms,
                      struct search *search, float **vector, struct err *err)
{
    int given = (input->text && *input->text) + (input->image && *input->image) +
                (input->embedding_input != NULL);
    if (input->image_url && *input->image_url)
        return err_set(err, ERR_UNSUPPORTED,
                       "image_url is not taken: nothing is fetched from "
                       "other places; send the picture as image");
    if (input->modality && strcmp(input->modality, "image") != 0)
        return err_set(err, ERR_UNSUPPORTED, "modality must be image");
    if (given != 1)
        return err_set(err, ERR_USAGE, "one of text, image and embedding_input is needed");
    if (input->embedding_input) {
        *vector = mem_array(MAX_DIM, sizeof **vector);
        if (!*vector)
            return answers_no_memory(err);
        search->vector = *vector;
        return vector_from_array(input->embedding_input, MAX_DIM, *vector, &search->vector_dim,
                                 err);
    }
    search->terms = terms;
    return input->text && *input->text ? terms_add_text(terms, input->text, 1, err)
                                       : terms_add_base64(call, terms, input->image, 1, err);
}

/* "http://HOST/v1/images/ID/file", as far as the request says what this is called. */
static int set_url(const struct call *call, struct jnode *node, int64_t id)
{
    char        url[600];
    const char *host  = call->x->request.host;
    bool        first = call->shelf == call->app->shelves[0];
    bool        known = host && strlen(host) < 300;
    snprintf(url, sizeof url, "%s%s/v1/images/%lld/file%s%s", known ? "http://" : "",
             known ? host : "", (long long)id,
             first ? "" : "?library=", first ? "" : shelf_name(call->shelf));
    return jnode_set_str(node, "url", url);
}

/* The first `described` hits with url and caption, the others with their id alone. */
static int fill(struct call *call, const struct search *search, size_t described, struct err *err)
{
    struct jnode *list = jnode_array();
    int           rc = 0, failed = list ? 0 : -1;
    double        start = clock_ms();
    for (size_t i = 0; i < search->n && !rc && !failed; i++) {
        struct jnode        *node  = jnode_object();
        struct library_image image = {0};
        if (i < described)
            rc = library_image_get(search->lib, search->hits[i].id, &image, err);
        if (rc) {
            jnode_free(node);
            rc = rc == ERR_NOTFOUND ? 0 : rc; /* it has just gone */
            continue;
        }
        failed |= jnode_set_int(node, "id", search->hits[i].id) |
                  jnode_set_real(node, "similarity", (double)search->hits[i].score);
        if (i < described)
            failed |= set_url(call, node, image.id) | jnode_set_str(node, "caption", image.path);
        library_image_release(&image);
        failed |= jnode_push(list, node);
    }
    call_stage(call, STAGE_CATALOGUE, clock_ms() - start);
    return answers_send(call, list, rc, failed, err);
}

/* Clients name the index of the service that they were made for. */
static void choose_library(struct call *call, const char *name)
{
    for (size_t i = 0; name && i < call->app->n_shelves; i++)
        if (!strcmp(shelf_name(call->app->shelves[i]), name))
            call->shelf = call->app->shelves[i];
}

int handle_knn(struct call *call, struct err *err)
{
    struct knn_input input  = {.num_images = 40};
    struct terms     terms  = {.n = 0};
    struct search    search = {.k = 0};
    float           *vector = NULL;
    struct fields    fields = {.table   = knn_fields,
                               .n       = sizeof knn_fields / sizeof *knn_fields,
                               .into    = &input,
                               .lenient = true};
    int              rc     = call_take_json(call, &fields, err);
    if (!rc)
        rc = read_query(call, &input, &terms, &search, &vector, err);
    if (!rc) {
        int64_t most = call->app->config.max_k;
        int64_t ids  = input.num_result_ids ? input.num_result_ids : input.num_images;
        ids          = ids > input.num_images ? ids : input.num_images;
        search.k     = (size_t)(ids < most ? ids : most);
        choose_library(call, input.indice_name);
        rc = search_run(call, &search, err);
    }
    if (!rc)
        rc = fill(call, &search, (size_t)input.num_images, err);
    search_release(call, &search);
    free(vector);
    return rc;
}

int handle_indices(struct call *call, struct err *err)
{
    struct jnode *list   = jnode_array();
    int           failed = list ? 0 : -1;
    for (size_t i = 0; i < call->app->n_shelves; i++)
        failed |= jnode_push_str(list, shelf_name(call->app->shelves[i]));
    return answers_send(call, list, 0, failed, err);
}
