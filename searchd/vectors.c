/* Embeddings in JSON: see vectors.h. */
#include "searchd/vectors.h"

#include "base/base64.h"

#include <math.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats go out as they lie in memory");

struct jnode *vector_to_array(const float *v, size_t dim)
{
    struct jnode *array  = jnode_array();
    int           failed = array ? 0 : -1;
    for (size_t i = 0; i < dim && !failed; i++)
        failed = jnode_push_real(array, (double)v[i]);
    if (!failed)
        return array;
    jnode_free(array);
    return NULL;
}

char *vector_to_text(const float *v, size_t dim)
{
    struct jnode *array = vector_to_array(v, dim);
    char         *text  = array ? jnode_write(array) : NULL;
    jnode_free(array);
    return text;
}

char *vector_to_base64(const float *v, size_t dim)
{
    return base64_encode(v, dim * sizeof *v);
}

int vector_from_array(const struct jnode *node, size_t max, float *v, size_t *dim, struct err *err)
{
    double squares = 0;
    *dim           = jnode_len(node);
    if (!jnode_is_array(node) || *dim < 1 || *dim > max)
        return err_set(err, ERR_USAGE, "an embedding must be an array of 1 to %zu numbers", max);
    for (size_t i = 0; i < *dim; i++) {
        double number;
        if (!jnode_to_double(jnode_at(node, i), &number) || !(fabs(number) < 1e15))
            return err_set(err, ERR_USAGE, "number %zu of the embedding is none", i);
        v[i] = (float)number;
        squares += (double)v[i] * (double)v[i];
    }
    if (!(squares > 0))
        return err_set(err, ERR_USAGE, "the embedding is zero");
    for (size_t i = 0; i < *dim; i++)
        v[i] = (float)((double)v[i] / sqrt(squares));
    return 0;
}
