/* A trained MMCA re-ranker as tensors of a file: see mmca_write.h. */
#include "rerank/mmca_write.h"

#include "base/half.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* cols 0: a vector. */
static int add(struct mmca_file *f, const char *name, int rows, int cols, const float *values,
               struct err *err)
{
    struct tensor *t = &f->tensors[f->n];
    size_t         n = (size_t)rows * (size_t)(cols ? cols : 1);
    *t               = (struct tensor){.name   = name,
                                       .dtype  = cols ? DTYPE_F16 : DTYPE_F32,
                                       .n_dims = cols ? 2 : 1,
                                       .dims   = {rows, cols},
                                       .bytes  = n * (cols ? sizeof(uint16_t) : sizeof(float))};
    void *copy       = mem_array(t->bytes, 1);
    if (!copy)
        return err_set(err, ERR_NOMEM, "cannot write a re-ranker: out of memory");
    if (cols)
        half_from_float(copy, values, n);
    else
        memcpy(copy, values, t->bytes);
    t->data          = copy;
    f->owned[f->n++] = copy;
    return 0;
}

int mmca_file_fill(struct mmca_file *f, struct mmca_fit_f32 *net, struct err *err)
{
    static const char *const names[2][2] = {{"region.mean", "region.scale"},
                                            {"word.mean", "word.scale"}};
    int                      n, rc = 0;
    const struct param_f32  *params = mmca_fit_params_f32(net, &n);
    for (int k = 0; k < 2 && !rc; k++) {
        float *mean, *scale;
        mmca_fit_standard_f32(net, k == 1, &mean, &scale);
        int size = (int)(scale - mean);
        rc       = add(f, names[k][0], size, 0, mean, err);
        if (!rc)
            rc = add(f, names[k][1], size, 0, scale, err);
    }
    for (int i = 0; i < n && !rc; i++) {
        const struct param_f32 *p = &params[i];
        if (strcmp(p->name, "scales") != 0) /* of training alone */
            rc = p->rows > 1 ? add(f, p->name, p->rows, p->cols, p->value, err)
                             : add(f, p->name, p->cols, 0, p->value, err);
    }
    return rc;
}

void mmca_file_release(struct mmca_file *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->owned[i]);
    f->n = 0;
}
