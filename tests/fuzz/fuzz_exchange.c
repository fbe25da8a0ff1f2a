/* The lines of an export, as osprey import reads them one after another; what is accepted is
 * written again and has to be the same. The same bytes are then metadata of clip-retrieval, as
 * JSON lines and as CSV. */
#include "tests/fuzz/fuzz.h"

#include "cli/exchange.h"
#include "cli/exchange_line.h"
#include "image/formats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Below its folder, told otherwise than the reader tells it. */
static void check_path(const struct exchange_line *line)
{
    fuzz_check(line->folder[0] == '/' && line->path[0] && line->path[0] != '/');
    fuzz_check(strcmp(line->path, "..") != 0 && strncmp(line->path, "../", 3) != 0);
    fuzz_check(!strstr(line->path, "/../"));
    size_t n = strlen(line->path);
    fuzz_check(n < 3 || strcmp(line->path + n - 3, "/..") != 0);
}

static void check_line(const struct exchange_line *line)
{
    const struct library_item *item = &line->item;
    check_path(line);
    fuzz_check(item->width >= 1 && item->height >= 1 && item->size >= 0);
    fuzz_check(item->orientation >= 1 && item->orientation <= 8);
    fuzz_check(line->kind[0] && strlen(line->kind) < 16);
    fuzz_check(line->page >= 1 && line->time_ms >= -1);
    fuzz_check(line->parts || (line->page == 1 && line->time_ms == -1));
    for (size_t i = 0; i < line->captions.n; i++)
        fuzz_check(line->captions.list[i][0]);
}

/* Writes a line that was read, and reads it. */
static void check_again(const struct exchange_line *line, size_t row)
{
    const struct library_item *item  = &line->item;
    int                        page  = line->page;
    int32_t                    time  = line->time_ms;
    bool                       parts = line->parts > 1 || time >= 0 || format_has_parts(line->kind);
    if (parts && !line->parts) /* from an older export: today's tell more */
        return;
    struct library_whole whole = {.image = {.folder      = line->folder,
                                            .path        = line->path,
                                            .camera      = line->camera,
                                            .size        = item->size,
                                            .mtime_ns    = item->mtime_ns,
                                            .width       = item->width,
                                            .height      = item->height,
                                            .orientation = item->orientation,
                                            .taken_at    = item->taken_at},
                                  .n     = line->parts ? line->parts : 1,
                                  .pages = &page,
                                  .times = time >= 0 ? &time : NULL};
    snprintf(whole.image.kind, sizeof whole.image.kind, "%s", line->kind);
    memcpy(whole.image.hash, item->hash, sizeof whole.image.hash);
    struct err           err = ERR_INIT;
    struct exchange_line back;
    struct jnode        *o    = exchange_line_make(&whole, &line->captions, 0, (int64_t)row);
    char                *text = jnode_write(o);
    fuzz_check(text);
    fuzz_check(exchange_line_read(text, strlen(text), row, &back, &err) == 0);
    fuzz_check(strcmp(back.folder, line->folder) == 0 && strcmp(back.path, line->path) == 0);
    fuzz_check(strcmp(back.kind, line->kind) == 0 && strcmp(back.camera, line->camera) == 0);
    fuzz_check(memcmp(back.item.hash, item->hash, sizeof item->hash) == 0);
    fuzz_check(back.item.size == item->size && back.item.mtime_ns == item->mtime_ns);
    fuzz_check(back.item.width == item->width && back.item.height == item->height);
    fuzz_check(back.item.orientation == item->orientation && back.item.taken_at == item->taken_at);
    fuzz_check(back.time_ms == time && (!parts || back.parts == line->parts));
    fuzz_check(!parts || back.page == page);
    fuzz_check(strings_equal(&back.captions, &line->captions));
    exchange_line_release(&back);
    jnode_free(o);
    free(text);
}

static void read_lines(const char *path)
{
    struct exchange_table t;
    struct exchange_order order = {.seen = 0};
    struct err            err   = ERR_INIT;
    const char           *text;
    size_t                len;
    int                   rc = exchange_table_open(&t, path, &err);
    fuzz_check_err(rc, &err);
    while (!rc && exchange_table_line(&t, &text, &len)) {
        struct exchange_line line;
        rc = exchange_line_read(text, len, t.row - 1, &line, &err);
        fuzz_check_err(rc, &err);
        if (!rc) {
            check_line(&line);
            check_again(&line, t.row - 1);
            rc = exchange_order_take(&order, &line, &err);
            fuzz_check_err(rc, &err);
            /* A page belongs to a picture whose first page came. */
            fuzz_check(rc || line.page == 1 || order.seen > 1);
            fuzz_check(rc || order.seen <= (line.parts ? line.parts : 1));
        }
        exchange_line_release(&line);
    }
    if (!rc)
        fuzz_check_err(exchange_order_end(&order, &err), &err);
    exchange_order_release(&order);
    exchange_table_close(&t);
}

static void read_rows(const char *path)
{
    struct exchange_table t;
    struct err            err = ERR_INIT;
    char                 *value, *caption;
    int                   rc = exchange_table_open(&t, path, &err), more = !rc;
    fuzz_check_err(rc, &err);
    while (more > 0) {
        more = exchange_table_row(&t, &value, &caption, &err);
        fuzz_check_err(more, &err);
        fuzz_check((value != NULL) >= (more > 0) && (more > 0 || (!value && !caption)));
        fuzz_check(!caption || *caption);
        free(value);
        free(caption);
    }
    if (!rc)
        exchange_table_close(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"lines.jsonl", "lines.csv"};
    for (int i = 0; i < 2; i++) {
        fuzz_write(names[i], data, size);
        char *path = fuzz_path(names[i]);
        if (i == 0)
            read_lines(path);
        read_rows(path);
        free(path);
    }
    return 0;
}
