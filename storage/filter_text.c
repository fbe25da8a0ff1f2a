/* Filters as people write them: see filter_text.h. */
#include "storage/filter_text.h"

#include "image/formats.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static bool digits(const char *text, int n, int *out)
{
    *out = 0;
    for (int i = 0; i < n; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
        *out = *out * 10 + (text[i] - '0');
    }
    return true;
}

/* "-05" */
static bool part(const char *text, char before, int low, int high, int *out)
{
    return *text == before && digits(text + 1, 2, out) && *out >= low && *out <= high;
}

bool filter_text_is_date(const char *text, bool until, int64_t *out)
{
    struct tm t     = {.tm_mon = 1, .tm_mday = 1};
    size_t    n     = strlen(text);
    bool      month = n >= 7, day = n >= 10, whole = n == 20;
    int       year;
    if ((n != 4 && n != 7 && n != 10 && n != 20) || !digits(text, 4, &year) || year < 1)
        return false;
    if (month && !part(text + 4, '-', 1, 12, &t.tm_mon))
        return false;
    if (day && !part(text + 7, '-', 1, 31, &t.tm_mday))
        return false;
    if (whole &&
        (!part(text + 10, 'T', 0, 23, &t.tm_hour) || !part(text + 13, ':', 0, 59, &t.tm_min) ||
         !part(text + 16, ':', 0, 59, &t.tm_sec) || text[19] != 'Z'))
        return false;
    int named = t.tm_mday;
    t.tm_year = year - 1900;
    t.tm_mon--;
    struct tm end = t;
    *out          = (int64_t)timegm(&t);
    if (t.tm_mday != named) /* 2024-02-31 */
        return false;
    if (!until || whole)
        return true;
    end.tm_mday += day;
    end.tm_mon += month && !day;
    end.tm_year += !month;
    *out = (int64_t)timegm(&end) - 1;
    return true;
}

int filter_text_date(const char *what, const char *text, bool until, int64_t *out, struct err *err)
{
    return filter_text_is_date(text, until, out)
               ? 0
               : err_set(err, ERR_USAGE,
                         "%s takes a date such as 2024, 2024-05 or 2024-05-01, not '%.100s'", what,
                         text);
}

int filter_text_rating(const char *what, const char *text, struct library_filter *out,
                       struct err *err)
{
    int low = 0, high = 5;
    out->has_rating = true;
    if (!strcasecmp(text, "rejected")) {
        out->min_rating = out->max_rating = -1;
        return 0;
    }
    if (!strcasecmp(text, "unrated")) {
        out->min_rating = out->max_rating = 0;
        return 0;
    }
    bool range = digits(text, 1, &low) && text[1] == '-' && digits(text + 2, 1, &high) && !text[3];
    bool least = digits(text, 1, &low) && !text[1];
    if ((!range && !least) || low > high || high > 5)
        return err_set(err, ERR_USAGE,
                       "%s takes stars such as 3 (at least) or 2-4, 'unrated' or 'rejected', not "
                       "'%.100s'",
                       what, text);
    out->min_rating = low;
    out->max_rating = high;
    return 0;
}

int filter_text_near(const char *what, const char *text, struct library_filter *out,
                     struct err *err)
{
    double      v[3];
    const char *at   = text;
    bool        good = true;
    for (int i = 0; i < 3 && good; i++) {
        char *end;
        v[i] = strtod(at, &end);
        good = end != at && isfinite(v[i]) && *end == (i < 2 ? ',' : '\0');
        at   = end + 1;
    }
    if (!good || fabs(v[0]) > 90 || fabs(v[1]) > 180 || v[2] < 0)
        return err_set(err, ERR_USAGE,
                       "%s takes a latitude, a longitude and kilometres, such as 48.2,16.37,5, not "
                       "'%.100s'",
                       what, text);
    out->has_near  = true;
    out->latitude  = v[0];
    out->longitude = v[1];
    out->near_km   = v[2];
    return 0;
}

int filter_text_shape(const char *what, const char *text, enum library_shape *out, struct err *err)
{
    static const char *const names[] = {"landscape", "portrait", "square"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp(text, names[i])) {
            *out = (enum library_shape)(LIBRARY_LANDSCAPE + i);
            return 0;
        }
    }
    return err_set(err, ERR_USAGE, "%s must be landscape, portrait or square", what);
}

int filter_text_size(const char *what, const char *text, struct library_filter *out,
                     struct err *err)
{
    char  *end;
    double n    = strtod(text, &end);
    double unit = 1;
    if (isdigit((unsigned char)*text) && *end == 'x' && isdigit((unsigned char)end[1])) {
        double high = strtod(end + 1, &end);
        if (!*end && n == floor(n) && high == floor(high) && n <= 1e9 && high <= 1e9) {
            out->min_width  = (int64_t)n;
            out->min_height = (int64_t)high;
            return 0;
        }
    } else if (isdigit((unsigned char)*text)) {
        if (*end && strchr("kKmMgG", *end)) {
            unit = strchr("kK", *end) ? 1e3 : strchr("mM", *end) ? 1e6 : 1e9;
            end++;
        }
        if (!*end && n * unit <= 1e15) {
            out->min_size = (int64_t)ceil(n * unit);
            return 0;
        }
    }
    return err_set(err, ERR_USAGE,
                   "%s takes bytes such as 500k or 2M, or pixels such as 1920x1080, not '%.100s'",
                   what, text);
}

int filter_text_kind(const char *what, const char *text, struct library_filter *out,
                     struct err *err)
{
    char   names[512] = "";
    size_t len        = 0;
    out->kinds        = format_kinds(text);
    if (out->kinds)
        return 0;
    for (int kind = IMAGE_JPEG; kind < IMAGE_KINDS && len < sizeof names; kind++)
        len += (size_t)snprintf(names + len, sizeof names - len, "%s, ",
                                image_kind_name((enum image_kind)kind));
    return err_set(err, ERR_USAGE,
                   "%s takes a kind of file, not '%.100s': %sor video for all films", what, text,
                   names);
}
