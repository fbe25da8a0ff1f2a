/* Metadata as bytes: see metadata_wire.h. A run of records: kind, length, contents. */
#include "meta/metadata_wire.h"

#include "base/mem.h"
#include "base/moment.h"
#include "meta/xmp.h"
#include "text/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum record_kind {
    RECORD_TAG = 1,
    RECORD_CAPTION,
    RECORD_ALT_TEXT,
    RECORD_LENS,
    RECORD_RATING,
    RECORD_PLACE,
    RECORD_CHOICE,
    RECORD_OUTCOME,
    RECORD_CHANGE,
    RECORD_PACKET,
    RECORD_PEOPLE,
    RECORD_TAKEN_AWAY, /* of tags */
    RECORD_TAKEN       /* of pictures: when */
};

#define CHOICES 7 /* of a wish */

struct record_head {
    uint32_t kind, len;
};

struct record {
    uint32_t       kind;
    const uint8_t *data; /* (len) */
    size_t         len;
};

/* ---- Packing ---- */

static int put(struct buf *out, enum record_kind kind, const void *data, size_t len,
               struct err *err)
{
    struct record_head head = {.kind = kind, .len = (uint32_t)len};
    int                rc   = buf_append(out, &head, sizeof head, err);
    return rc ? rc : buf_append(out, data, len, err);
}

static int put_text(struct buf *out, enum record_kind kind, const char *text, struct err *err)
{
    return text && *text ? put(out, kind, text, strlen(text), err) : 0;
}

static int put_list(struct buf *out, enum record_kind kind, const struct strings *s,
                    struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < s->n && !rc; i++)
        rc = put_text(out, kind, s->list[i], err);
    return rc;
}

int metadata_pack(const struct metadata *m, struct buf *out, struct err *err)
{
    const double  place[2] = {m->latitude, m->longitude};
    const int64_t taken[2] = {m->taken_at, m->is_made};
    int32_t       rating   = m->rating;
    int           rc       = put_list(out, RECORD_TAG, &m->tags, err);
    if (!rc)
        rc = put_list(out, RECORD_PEOPLE, &m->people, err);
    if (!rc)
        rc = put_text(out, RECORD_CAPTION, m->caption, err);
    if (!rc)
        rc = put_text(out, RECORD_ALT_TEXT, m->alt_text, err);
    if (!rc)
        rc = put_text(out, RECORD_LENS, m->lens, err);
    if (!rc && rating)
        rc = put(out, RECORD_RATING, &rating, sizeof rating, err);
    if (!rc && m->has_place)
        rc = put(out, RECORD_PLACE, place, sizeof place, err);
    if (!rc && m->taken_at)
        rc = put(out, RECORD_TAKEN, taken, sizeof taken, err);
    return rc;
}

int metadata_wish_pack(const struct metadata_wish *wish, struct buf *out, struct err *err)
{
    const uint8_t choice[CHOICES] = {wish->sidecar,      wish->set_tags, wish->set_caption,
                                     wish->set_alt_text, wish->only_out, wish->keep_own,
                                     wish->people_texts};
    int           rc              = put(out, RECORD_CHOICE, choice, sizeof choice, err);
    if (!rc)
        rc = put_list(out, RECORD_TAG, &wish->tags, err);
    if (!rc)
        rc = put_list(out, RECORD_PEOPLE, &wish->people, err);
    if (!rc)
        rc = put_list(out, RECORD_TAKEN_AWAY, &wish->taken, err);
    if (!rc)
        rc = put_text(out, RECORD_CAPTION, wish->caption, err);
    return rc ? rc : put_text(out, RECORD_ALT_TEXT, wish->alt_text, err);
}

int metadata_edit_pack(const struct metadata_edit *edit, struct buf *out, struct err *err)
{
    uint8_t outcome = (uint8_t)edit->outcome;
    int     rc      = put(out, RECORD_OUTCOME, &outcome, sizeof outcome, err);
    if (!rc)
        rc = put_list(out, RECORD_CHANGE, &edit->changes, err);
    return rc || !edit->packet ? rc : put(out, RECORD_PACKET, edit->packet, edit->len, err);
}

/* ---- Unpacking ---- */

/* 1: a record, 0: the end; or ERR_FORMAT. */
static int next(const uint8_t *bytes, size_t n, size_t *at, struct record *r, struct err *err)
{
    struct record_head head;
    if (*at == n)
        return 0;
    if (n - *at >= sizeof head) {
        memcpy(&head, bytes + *at, sizeof head);
        if (head.len <= n - *at - sizeof head) {
            *r = (struct record){head.kind, bytes + *at + sizeof head, head.len};
            *at += sizeof head + head.len;
            return 1;
        }
    }
    return err_set(err, ERR_FORMAT, "metadata that do not hold together");
}

static int senseless(const struct record *r, struct err *err)
{
    return err_set(err, ERR_FORMAT, "metadata with a senseless record of kind %u", r->kind);
}

/* A copy of a text of at most max bytes, UTF-8 without control characters. */
static int text_of(const struct record *r, size_t max, char **out, struct err *err)
{
    bool fits = r->len > 0 && r->len <= max && utf8_valid((const char *)r->data, r->len);
    for (size_t i = 0; i < r->len && fits; i++)
        fits = r->data[i] >= ' ' && r->data[i] != 0x7F;
    if (!fits || *out)
        return senseless(r, err);
    *out = mem_strndup((const char *)r->data, r->len);
    return *out ? 0 : err_set(err, ERR_NOMEM, "out of memory for a text");
}

static int list_of(const struct record *r, size_t max, size_t most, struct strings *to,
                   struct err *err)
{
    char *text = NULL;
    int   rc   = to->n < most ? text_of(r, max, &text, err) : senseless(r, err);
    if (!rc)
        rc = strings_add(to, text, err);
    free(text);
    return rc;
}

static int lens_of(const struct record *r, struct metadata *m, struct err *err)
{
    char *text = NULL;
    int   rc   = text_of(r, sizeof m->lens - 1, &text, err);
    if (!rc)
        memcpy(m->lens, text, r->len + 1);
    free(text);
    return rc;
}

static int rating_of(const struct record *r, struct metadata *m, struct err *err)
{
    int32_t rating = 0;
    if (r->len != sizeof rating)
        return senseless(r, err);
    memcpy(&rating, r->data, sizeof rating);
    if (rating < -1 || rating > 5)
        return senseless(r, err);
    m->rating = rating;
    return 0;
}

static int place_of(const struct record *r, struct metadata *m, struct err *err)
{
    double place[2];
    if (r->len != sizeof place)
        return senseless(r, err);
    memcpy(place, r->data, sizeof place);
    if (!(fabs(place[0]) <= 90 && fabs(place[1]) <= 180))
        return senseless(r, err);
    m->has_place = true;
    m->latitude  = place[0];
    m->longitude = place[1];
    return 0;
}

static int taken_of(const struct record *r, struct metadata *m, struct err *err)
{
    int64_t taken[2];
    if (r->len != sizeof taken)
        return senseless(r, err);
    memcpy(taken, r->data, sizeof taken);
    if (taken[0] < MOMENT_FIRST || taken[0] >= MOMENT_END || !taken[0] || taken[1] < 0 ||
        taken[1] > 1)
        return senseless(r, err);
    m->taken_at = taken[0];
    m->is_made  = taken[1] == 1;
    return 0;
}

int metadata_unpack(const uint8_t *bytes, size_t n, struct metadata *out, struct err *err)
{
    struct record r;
    size_t        at = 0;
    int           rc;
    *out = (struct metadata){0};
    while ((rc = next(bytes, n, &at, &r, err)) > 0) {
        if (r.kind == RECORD_TAG)
            rc = list_of(&r, METADATA_TAG_MAX, METADATA_TAGS, &out->tags, err);
        else if (r.kind == RECORD_PEOPLE)
            rc = list_of(&r, METADATA_TAG_MAX, METADATA_TAGS, &out->people, err);
        else if (r.kind == RECORD_CAPTION)
            rc = text_of(&r, METADATA_TEXT_MAX, &out->caption, err);
        else if (r.kind == RECORD_ALT_TEXT)
            rc = text_of(&r, METADATA_TEXT_MAX, &out->alt_text, err);
        else if (r.kind == RECORD_LENS)
            rc = lens_of(&r, out, err);
        else if (r.kind == RECORD_RATING)
            rc = rating_of(&r, out, err);
        else if (r.kind == RECORD_TAKEN)
            rc = taken_of(&r, out, err);
        else
            rc = r.kind == RECORD_PLACE ? place_of(&r, out, err) : senseless(&r, err);
        if (rc)
            break;
    }
    if (rc)
        metadata_release(out);
    return rc;
}

static int choice_of(const struct record *r, struct metadata_wish *wish, struct err *err)
{
    if (r->len != CHOICES)
        return senseless(r, err);
    wish->sidecar      = r->data[0] != 0;
    wish->set_tags     = r->data[1] != 0;
    wish->set_caption  = r->data[2] != 0;
    wish->set_alt_text = r->data[3] != 0;
    wish->only_out     = r->data[4] != 0;
    wish->keep_own     = r->data[5] != 0;
    wish->people_texts = r->data[6] != 0;
    return 0;
}

int metadata_wish_unpack(const uint8_t *bytes, size_t n, struct metadata_wish *out, struct err *err)
{
    struct record r;
    size_t        at = 0;
    int           rc;
    *out = (struct metadata_wish){0};
    while ((rc = next(bytes, n, &at, &r, err)) > 0) {
        if (r.kind == RECORD_CHOICE)
            rc = choice_of(&r, out, err);
        else if (r.kind == RECORD_TAG)
            rc = list_of(&r, METADATA_TAG_MAX, METADATA_TAGS, &out->tags, err);
        else if (r.kind == RECORD_PEOPLE)
            rc = list_of(&r, METADATA_TAG_MAX, METADATA_TAGS, &out->people, err);
        else if (r.kind == RECORD_TAKEN_AWAY)
            rc = list_of(&r, METADATA_TAG_MAX, METADATA_TAGS, &out->taken, err);
        else if (r.kind == RECORD_CAPTION)
            rc = text_of(&r, METADATA_TEXT_MAX, &out->caption, err);
        else
            rc = r.kind == RECORD_ALT_TEXT ? text_of(&r, METADATA_TEXT_MAX, &out->alt_text, err)
                                           : senseless(&r, err);
        if (rc)
            break;
    }
    if (rc)
        metadata_wish_release(out);
    return rc;
}

static int packet_of(const struct record *r, struct metadata_edit *edit, struct err *err)
{
    if (r->len == 0 || r->len > XMP_PACKET_MAX || edit->packet ||
        !utf8_valid((const char *)r->data, r->len) || memchr(r->data, 0, r->len))
        return senseless(r, err);
    edit->packet = mem_strndup((const char *)r->data, r->len);
    edit->len    = r->len;
    return edit->packet ? 0 : err_set(err, ERR_NOMEM, "out of memory for XMP");
}

static int outcome_of(const struct record *r, struct metadata_edit *edit, struct err *err)
{
    if (r->len != 1 || r->data[0] > METADATA_DROP)
        return senseless(r, err);
    edit->outcome = (enum metadata_outcome)r->data[0];
    return 0;
}

int metadata_edit_unpack(const uint8_t *bytes, size_t n, struct metadata_edit *out, struct err *err)
{
    struct record r;
    size_t        at = 0;
    int           rc;
    *out = (struct metadata_edit){0};
    while ((rc = next(bytes, n, &at, &r, err)) > 0) {
        if (r.kind == RECORD_OUTCOME)
            rc = outcome_of(&r, out, err);
        else if (r.kind == RECORD_CHANGE)
            rc = list_of(&r, METADATA_TEXT_MAX, STRINGS_MOST, &out->changes, err);
        else
            rc = r.kind == RECORD_PACKET ? packet_of(&r, out, err) : senseless(&r, err);
        if (rc)
            break;
    }
    if (!rc && (out->outcome == METADATA_PUT) != (out->packet != NULL))
        rc = err_set(err, ERR_FORMAT, "metadata whose packet and outcome contradict each other");
    if (rc)
        metadata_edit_release(out);
    return rc;
}

/* ---- The worker's part ---- */

int metadata_answer(const uint8_t *bytes, size_t picture_n, size_t sidecar_n, size_t wish_n,
                    struct buf *out, struct err *err)
{
    struct metadata_files files = {.picture   = bytes,
                                   .picture_n = picture_n,
                                   .sidecar   = sidecar_n ? bytes + picture_n : NULL,
                                   .sidecar_n = sidecar_n};
    struct metadata       said;
    struct metadata_wish  wish;
    struct metadata_edit  edit;
    if (!wish_n) {
        int rc = metadata_read(&files, &said, err);
        if (!rc)
            rc = metadata_pack(&said, out, err);
        metadata_release(&said);
        return rc;
    }
    int rc = metadata_wish_unpack(bytes + picture_n + sidecar_n, wish_n, &wish, err);
    if (rc)
        return rc;
    rc = metadata_change(&files, &wish, &edit, err);
    if (!rc) {
        rc = metadata_edit_pack(&edit, out, err);
        metadata_edit_release(&edit);
    }
    metadata_wish_release(&wish);
    return rc;
}
