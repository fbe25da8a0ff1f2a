/* Files that travel inside the program: the page (searchd/page/) and openapi.json.
 * The build makes the table (embed.cmake). */
#ifndef OSPREY_SEARCHD_EMBEDDED_H
#define OSPREY_SEARCHD_EMBEDDED_H

#include <stddef.h>

struct embedded_file {
    const char          *path; /* "/index.html", "/openapi.json" */
    const char          *type; /* MIME type */
    const char          *etag; /* with its quotes */
    const unsigned char *bytes;
    size_t               len;
};

extern const struct embedded_file embedded_files[];
extern const size_t               n_embedded_files;

#endif
