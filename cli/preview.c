/* Pictures in the terminal (preview.h). */
#include "cli/preview.h"

#include "base/mem.h"
#include "image/decoder.h"

#include <chafa.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEFAULT_COLUMNS 40
#define DEFAULT_ROWS    12
#define CELL_MAX        1000
/* Cells of terminals that do not tell their size in pixels. */
#define CELL_WIDTH      10
#define CELL_HEIGHT     20

struct preview {
    struct decoder *decoder;
    ChafaTermInfo  *terminal;
    ChafaPixelMode  pixels;
    ChafaCanvasMode colours;
    int             columns, rows;           /* the most that a picture may take */
    int             cell_width, cell_height; /* pixels */
};

static const char *forced_mode(void)
{
    const char *mode = getenv("OSPREY_PREVIEW");
    return mode && *mode ? mode : NULL;
}

static int parse_size(const char *size, int *columns, int *rows, struct err *err)
{
    int end = -1;
    if (sscanf(size, "%4dx%4d%n", columns, rows, &end) != 2 || size[end] || *columns < 1 ||
        *rows < 1 || *columns > CELL_MAX || *rows > CELL_MAX)
        return err_set(err, ERR_USAGE, "--preview takes a size like 40x12 in characters, not '%s'",
                       size);
    return 0;
}

static bool has(const ChafaTermInfo *terminal, ChafaTermSeq sequence)
{
    return chafa_term_info_have_seq(terminal, sequence);
}

static int choose_mode(struct preview *p, const char *forced, struct err *err)
{
    p->pixels = CHAFA_PIXEL_MODE_SYMBOLS;
    if (forced && strcmp(forced, "symbols") == 0)
        p->pixels = CHAFA_PIXEL_MODE_SYMBOLS;
    else if (forced && strcmp(forced, "kitty") == 0)
        p->pixels = CHAFA_PIXEL_MODE_KITTY;
    else if (forced && strcmp(forced, "iterm") == 0)
        p->pixels = CHAFA_PIXEL_MODE_ITERM2;
    else if (forced && strcmp(forced, "sixel") == 0)
        p->pixels = CHAFA_PIXEL_MODE_SIXELS;
    else if (forced)
        return err_set(err, ERR_USAGE,
                       "OSPREY_PREVIEW is '%s', not symbols, sixel, kitty, iterm or none", forced);
    else if (has(p->terminal, CHAFA_TERM_SEQ_BEGIN_KITTY_IMMEDIATE_IMAGE_V1))
        p->pixels = CHAFA_PIXEL_MODE_KITTY;
    else if (has(p->terminal, CHAFA_TERM_SEQ_BEGIN_ITERM2_IMAGE))
        p->pixels = CHAFA_PIXEL_MODE_ITERM2;
    else if (has(p->terminal, CHAFA_TERM_SEQ_BEGIN_SIXELS))
        p->pixels = CHAFA_PIXEL_MODE_SIXELS;

    if (has(p->terminal, CHAFA_TERM_SEQ_SET_COLOR_FGBG_DIRECT))
        p->colours = CHAFA_CANVAS_MODE_TRUECOLOR;
    else if (has(p->terminal, CHAFA_TERM_SEQ_SET_COLOR_FGBG_256))
        p->colours = CHAFA_CANVAS_MODE_INDEXED_240;
    else if (has(p->terminal, CHAFA_TERM_SEQ_SET_COLOR_FGBG_16))
        p->colours = CHAFA_CANVAS_MODE_INDEXED_16;
    else
        p->colours = CHAFA_CANVAS_MODE_FGBG;
    return 0;
}

int preview_open(const char *size, struct preview **out, struct err *err)
{
    const char *forced  = forced_mode();
    int         columns = 0, rows = 0;
    *out = NULL;
    if (*size && parse_size(size, &columns, &rows, err))
        return ERR_USAGE;
    if (forced ? strcmp(forced, "none") == 0 : !isatty(STDOUT_FILENO))
        return 0;

    struct preview *p = mem_zeroed(1, sizeof *p);
    if (!p)
        return err_set(err, ERR_NOMEM, "out of memory");
    char **environment = g_get_environ();
    p->terminal        = chafa_term_db_detect(chafa_term_db_get_default(), environment);
    g_strfreev(environment);
    /* A mode that was asked for needs sequences that the terminal may hide. */
    if (forced) {
        ChafaTermInfo *all = chafa_term_db_get_fallback_info(chafa_term_db_get_default());
        chafa_term_info_supplement(p->terminal, all);
        chafa_term_info_unref(all);
    }
    int rc = choose_mode(p, forced, err);
    if (!rc)
        rc = decoder_open(NULL, &p->decoder, err);
    if (rc) {
        preview_close(p);
        return rc;
    }

    struct winsize window = {0};
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
    bool in_pixels = window.ws_col && window.ws_row && window.ws_xpixel && window.ws_ypixel;
    p->cell_width  = in_pixels ? window.ws_xpixel / window.ws_col : CELL_WIDTH;
    p->cell_height = in_pixels ? window.ws_ypixel / window.ws_row : CELL_HEIGHT;
    if (p->cell_width < 1 || p->cell_height < 1) {
        p->cell_width  = CELL_WIDTH;
        p->cell_height = CELL_HEIGHT;
    }
    p->columns = columns ? columns : DEFAULT_COLUMNS;
    p->rows    = rows ? rows : DEFAULT_ROWS;
    if (!columns && window.ws_col && p->columns > window.ws_col)
        p->columns = window.ws_col;
    *out = p;
    return 0;
}

void preview_close(struct preview *p)
{
    if (!p)
        return;
    if (p->terminal)
        chafa_term_info_unref(p->terminal);
    decoder_close(p->decoder);
    free(p);
}

int preview_print(struct preview *p, const uint8_t *bytes, size_t n, struct err *err)
{
    struct image img;
    int          wide = p->columns * p->cell_width;
    int          high = p->rows * p->cell_height;
    /* Twice the pixels that the cells have is plenty; min_side doubles once more. */
    int rc = decoder_decode(p->decoder, bytes, n, wide < high ? wide : high, &img, NULL, err);
    if (rc)
        return rc;

    gint  columns = p->columns, rows = p->rows;
    float cell_ratio = (float)p->cell_width / (float)p->cell_height;
    chafa_calc_canvas_geometry(img.width, img.height, &columns, &rows, cell_ratio, FALSE, FALSE);

    ChafaSymbolMap    *symbols = chafa_symbol_map_new();
    ChafaCanvasConfig *config  = chafa_canvas_config_new();
    chafa_symbol_map_add_by_tags(symbols, CHAFA_SYMBOL_TAG_BLOCK | CHAFA_SYMBOL_TAG_SPACE |
                                              CHAFA_SYMBOL_TAG_QUAD | CHAFA_SYMBOL_TAG_HHALF |
                                              CHAFA_SYMBOL_TAG_VHALF);
    chafa_canvas_config_set_symbol_map(config, symbols);
    chafa_canvas_config_set_geometry(config, columns > 0 ? columns : 1, rows > 0 ? rows : 1);
    chafa_canvas_config_set_cell_geometry(config, p->cell_width, p->cell_height);
    chafa_canvas_config_set_pixel_mode(config, p->pixels);
    chafa_canvas_config_set_canvas_mode(config, p->colours);

    ChafaCanvas *canvas = chafa_canvas_new(config);
    chafa_canvas_draw_all_pixels(canvas, CHAFA_PIXEL_RGB8, img.data, img.width, img.height,
                                 img.width * 3);
    GString *text = chafa_canvas_print(canvas, p->terminal);
    fwrite(text->str, 1, text->len, stdout);
    putchar('\n');

    g_string_free(text, TRUE);
    chafa_canvas_unref(canvas);
    chafa_canvas_config_unref(config);
    chafa_symbol_map_unref(symbols);
    return 0;
}
