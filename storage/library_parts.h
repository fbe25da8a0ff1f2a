/* The parts of an image: the pages of a scan, the frames of a film, which are found by
 * themselves (LIBRARY_FIRST_PART).
 */
#ifndef OSPREY_STORAGE_LIBRARY_PARTS_H
#define OSPREY_STORAGE_LIBRARY_PARTS_H

#include "storage/library.h"

/* An image with everything that it is found by, at one moment. */
struct library_whole {
    struct library_image image;
    int                  dim;
    size_t               n;          /* pages, or frames, with the first; 1 for most pictures */
    int                 *pages;      /* (n) rising, from 1 */
    int32_t             *times;      /* (n) of a film's frames, ms; NULL: it is none */
    float               *embeddings; /* (n, dim) of the active model, from half precision */
};

/* ERR_NOTFOUND where there is no image, or one of its embeddings is missing; ERR_DAMAGED. */
int  library_whole_get(struct library *lib, int64_t id, struct library_whole *out, struct err *err);
void library_whole_release(struct library_whole *whole);

struct library_part {
    int     page;    /* from 1; some may be missing, as they could not be read */
    int32_t time_ms; /* when in its film a frame is; -1: it is of no film */
};

/* What an image is found by, the one that it is shown by first: one for most pictures. *out is
 * freed with free(). ERR_NOTFOUND where there is no image. */
int library_parts_get(struct library *lib, int64_t id, struct library_part **out, size_t *n,
                      struct err *err);

/* One part of an image, by its page in a scan, or with time_ms >= 0 by its time in a film. *first:
 * it is the one that the image itself is shown by. ERR_NOTFOUND: the image has no such part. */
int library_part_find(struct library *lib, int64_t image_id, int page, int32_t time_ms, bool *first,
                      struct err *err);

#endif
