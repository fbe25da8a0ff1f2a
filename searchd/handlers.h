/* The answers of searchd's routes (routes.c). Each fills the reply, or returns an
 * error that becomes one. */
#ifndef OSPREY_SEARCHD_HANDLERS_H
#define OSPREY_SEARCHD_HANDLERS_H

#include "searchd/app.h"

/* handle_search.c */
int handle_search(struct call *call, struct err *err);
int handle_similar(struct call *call, struct err *err);
/* handle_images.c */
int handle_images(struct call *call, struct err *err);
int handle_image(struct call *call, struct err *err);
/* handle_tags.c */
int handle_image_tags(struct call *call, struct err *err);
int handle_tags(struct call *call, struct err *err);
/* handle_dupes.c */
int handle_dupes(struct call *call, struct err *err);
/* handle_suggest.c */
int handle_suggest(struct call *call, struct err *err);
/* handle_files.c */
int handle_thumbnail(struct call *call, struct err *err);
int handle_file(struct call *call, struct err *err);
/* handle_state.c */
int handle_stats(struct call *call, struct err *err);
int handle_libraries(struct call *call, struct err *err);
int handle_folders(struct call *call, struct err *err);
int handle_metrics(struct call *call, struct err *err);
int handle_healthz(struct call *call, struct err *err);
int handle_readyz(struct call *call, struct err *err);
/* handle_page.c */
int handle_page(struct call *call, struct err *err);
int handle_openapi(struct call *call, struct err *err);
int handle_login(struct call *call, struct err *err);
int handle_logout(struct call *call, struct err *err);
/* handle_classify.c */
int handle_classify(struct call *call, struct err *err);
/* What other programs' clients speak: handle_openai.c, handle_immich.c, handle_knn.c */
int handle_embeddings(struct call *call, struct err *err);
int handle_ping(struct call *call, struct err *err);
int handle_predict(struct call *call, struct err *err);
int handle_knn(struct call *call, struct err *err);
int handle_indices(struct call *call, struct err *err);

#endif
