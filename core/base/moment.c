/* Dates as pictures tell them: see moment.h. */
#include "base/moment.h"

#include <string.h>
#include <time.h>

#define DAY 86400 /* seconds */

/* n decimal digits at s, or -1. */
static int digits(const char *s, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        value = value * 10 + (s[i] - '0');
    }
    return value;
}

static bool is_blank(const char *s)
{
    return s[strspn(s, " :-T")] == '\0';
}

/* "+09:00" or "-0330" in seconds east of UTC; 0 when it is none. */
static int64_t zone_seconds(const char *s)
{
    if (s[0] != '+' && s[0] != '-')
        return 0;
    int hours = digits(s + 1, 2);
    if (hours < 0 || hours > 14)
        return 0;
    int minutes = digits(s + 3 + (s[3] == ':'), 2);
    if (minutes > 59)
        return 0;
    int64_t seconds = hours * 3600 + (minutes > 0 ? minutes * 60 : 0);
    return s[0] == '-' ? -seconds : seconds;
}

/* The next two digits of a date or a time, behind a separator or none. *value is -1 where
 * what is left is blank, or nothing. False for something else. */
static bool part(const char **at, const char *separators, int *value)
{
    const char *s = *at;
    *value        = -1;
    if (is_blank(s))
        return true;
    if (strchr(separators, *s))
        s++;
    *value = digits(s, 2);
    if (*value >= 0)
        *at = s + 2;
    return *value >= 0;
}

/* How long the month is that tm begins. */
static int64_t month_seconds(struct tm tm, int64_t from)
{
    tm.tm_mon++;
    return (int64_t)timegm(&tm) - from;
}

static bool read_day(const char **at, struct tm *tm, int64_t *span)
{
    int year = digits(*at, 4), month, day;
    if (year < 1)
        return false;
    *at += 4;
    *tm   = (struct tm){.tm_year = year - 1900, .tm_mday = 1};
    *span = (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 366 : 365) * (int64_t)DAY;
    if (!part(at, "-:", &month) || month > 12)
        return false;
    if (month < 1)
        return true;
    tm->tm_mon = month - 1;
    *span      = month_seconds(*tm, (int64_t)timegm(tm));
    if (!part(at, "-:", &day) || day > *span / DAY)
        return false;
    if (day < 1)
        return true;
    tm->tm_mday = day;
    *span       = DAY;
    return true;
}

/* False for no time of a day. *is_there: whether there is one. */
static bool read_time(const char **at, struct tm *tm, bool *is_there)
{
    int hour, minute = -1, second = -1;
    *is_there = false;
    if (!part(at, " T", &hour) || hour > 23)
        return false;
    if (hour < 0)
        return true;
    if (!part(at, ":", &minute) || minute < 0 || minute > 59)
        return false;
    if (**at == ':' || (**at >= '0' && **at <= '9')) {
        if (!part(at, ":", &second) || second > 60)
            return false;
    }
    *is_there   = true;
    tm->tm_hour = hour;
    tm->tm_min  = minute;
    tm->tm_sec  = second > 0 ? second : 0;
    if (second >= 0 && **at == '.')
        *at += 1 + strspn(*at + 1, "0123456789");
    return true;
}

bool moment_parse(const char *text, const char *zone, struct moment *out)
{
    struct tm   tm;
    int64_t     span;
    bool        timed = false;
    const char *at    = text ? text : "";
    *out              = (struct moment){0};
    at += strspn(at, " ");
    if (!read_day(&at, &tm, &span) || (span == DAY && !read_time(&at, &tm, &timed)))
        return false;
    int64_t from = (int64_t)timegm(&tm);
    if (timed) {
        span = 1;
        at += strspn(at, " ");
        from -= zone_seconds(*at == '+' || *at == '-' || *at == 'Z' || !zone ? at : zone);
    }
    if (from < MOMENT_FIRST || from >= MOMENT_END)
        return false;
    *out = (struct moment){.from = from ? from : 1, .span = span};
    return true;
}

struct moment moment_of_two(const struct moment *first, const struct moment *second)
{
    bool within = second->span && second->span < first->span && second->from >= first->from &&
                  second->from < first->from + first->span;
    return !first->span || within ? *second : *first;
}
