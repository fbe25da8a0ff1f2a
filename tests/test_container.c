/* core/meta's containers: a packet put into a file is found there, every other byte is
 * what it was, and without the packet the file is the old one. Damaged files are errors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "meta/container.h"
#include "tests/metadata_files.h"

#define PACKET_A "<x:xmpmeta>first</x:xmpmeta>"
#define PACKET_B "<x:xmpmeta>a longer second one, of odd len</x:xmpmeta>"

/* The file with a packet in it; freed by the caller. */
static struct buf spliced(const struct buf *file, const char *packet)
{
    struct container_parts parts;
    struct err             err = ERR_INIT;
    struct buf             out;
    buf_init(&out, 4 << 20);
    int rc = container_splice((const uint8_t *)file->data, file->len, packet,
                              packet ? strlen(packet) : 0, &parts, &err);
    if (rc)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < parts.n; i++)
        add(&out, parts.part[i].data, parts.part[i].len);
    container_parts_release(&parts);
    return out;
}

static void assert_packet(const struct buf *file, const char *packet)
{
    struct container c;
    assert_int_equal(container_look((const uint8_t *)file->data, file->len, &c, NULL), 0);
    if (!packet) {
        assert_null(c.xmp.data);
    } else {
        assert_non_null(c.xmp.data);
        assert_int_equal(c.xmp.len, strlen(packet) + XMP_WRAPPER_BYTES);
        assert_memory_equal(c.xmp.data + sizeof XMP_WRAPPER_BEGIN - 1, packet, strlen(packet));
    }
    container_release(&c);
}

static void assert_same(const struct buf *a, const struct buf *b)
{
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->data, b->data, a->len);
}

/* Puts A in, then B, then takes it out. What lies behind `pixels` bytes of the head, up to
 * the length of the old file's rest, is looked for whole in each. */
static void round_trip(struct buf *file, const char *pixels, size_t pixels_n)
{
    assert_packet(file, NULL);
    struct buf a = spliced(file, PACKET_A), b = spliced(&a, PACKET_B),
               again = spliced(&b, PACKET_B);
    struct buf a2 = spliced(&b, PACKET_A), none = spliced(&b, NULL);
    assert_packet(&a, PACKET_A);
    assert_packet(&b, PACKET_B);
    assert_same(&b, &again);
    assert_same(&a, &a2);
    assert_non_null(memmem(a.data, a.len, pixels, pixels_n));
    assert_non_null(memmem(b.data, b.len, pixels, pixels_n));
    assert_same(file, &none);
    buf_release(&a);
    buf_release(&b);
    buf_release(&again);
    buf_release(&a2);
    buf_release(&none);
}

/* No prefix of it makes either call do wrong (sanitizers watch). */
static void every_length(const struct buf *file)
{
    for (size_t n = 0; n <= file->len; n++) {
        struct container       c;
        struct container_parts parts;
        struct err             err  = ERR_INIT;
        uint8_t               *copy = mem_array(n, 1); /* so that its end is the heap's */
        memcpy(copy, file->data, n);
        assert_int_equal(container_look(copy, n, &c, NULL), 0);
        container_release(&c);
        int rc = container_splice(copy, n, PACKET_A, strlen(PACKET_A), &parts, &err);
        assert_true(rc == 0 || rc == ERR_FORMAT || rc == ERR_UNSUPPORTED);
        if (!rc)
            container_parts_release(&parts);
        free(copy);
    }
}

static void jpeg_keeps_all_but_the_packet(void **state)
{
    struct buf file;
    (void)state;
    make_jpeg(&file, 0, NULL, 0);
    round_trip(&file, file.data + 20, file.len - 20);
    every_length(&file);
    buf_release(&file);
    /* Behind the EXIF, which stays the first. */
    make_jpeg(&file, 0xE1, "Exif\0\0II*\0\10\0\0\0\0\0\0\0\0\0", 20);
    round_trip(&file, file.data + 44, file.len - 44);
    struct buf a = spliced(&file, PACKET_A);
    assert_memory_equal(a.data, file.data, 44);
    struct container c;
    assert_int_equal(container_look((const uint8_t *)a.data, a.len, &c, NULL), 0);
    assert_int_equal(c.exif.len, 14);
    container_release(&c);
    buf_release(&a);
    buf_release(&file);
}

static void jpeg_has_a_limit(void **state)
{
    struct buf             file;
    struct container_parts parts;
    struct err             err  = ERR_INIT;
    char                  *much = mem_array(70000, 1);
    (void)state;
    memset(much, ' ', 70000);
    make_jpeg(&file, 0, NULL, 0);
    assert_int_equal(
        container_splice((const uint8_t *)file.data, file.len, much, 70000, &parts, &err),
        ERR_LIMIT);
    assert_non_null(strstr(err.msg, "--write sidecar"));
    buf_release(&file);
    free(much);
}

/* The extended part, in two segments, is put together; a gap makes it none. */
static void jpeg_reads_what_is_extended(void **state)
{
    static const char head[]  = "http://ns.adobe.com/xmp/extension/\0"
                                "0123456789ABCDEF0123456789ABCDEF";
    const char       *text[2] = {"<x:xmpmeta>ext", "ended</x:xmpmeta>"};
    size_t            all     = strlen(text[0]) + strlen(text[1]);
    (void)state;
    for (int gap = 0; gap < 2; gap++) {
        struct buf       file, segment;
        struct container c;
        size_t           at = 0;
        buf_init(&file, 1 << 20);
        add(&file, "\xFF\xD8", 2);
        for (int i = gap; i < 2; i++) {
            buf_init(&segment, 1 << 16);
            add(&segment, head, sizeof head - 1);
            add_number(&segment, all, 4, true);
            add_number(&segment, i ? strlen(text[0]) : 0, 4, true);
            add(&segment, text[i], strlen(text[i]));
            add_segment(&file, 0xE1, segment.data, segment.len);
            buf_release(&segment);
            at += strlen(text[i]);
        }
        add_segment(&file, 0xDA, "\1\1\0\0\77\0", 6);
        assert_int_equal(container_look((const uint8_t *)file.data, file.len, &c, NULL), 0);
        if (gap) {
            assert_null(c.extended.data);
        } else {
            assert_int_equal(c.extended.len, at);
            assert_memory_equal(c.extended.data, "<x:xmpmeta>extended</x:xmpmeta>", at);
        }
        container_release(&c);
        struct buf a = spliced(&file, PACKET_A);
        assert_non_null(memmem(a.data, a.len, file.data + 2, file.len - 2));
        buf_release(&a);
        buf_release(&file);
    }
}

/* The list of several pictures tells the first one's size, and nothing else that moves. */
static void jpeg_sets_the_first_size_right(void **state)
{
    struct buf file, mpf, longer;
    (void)state;
    buf_init(&mpf, 1 << 16);
    add(&mpf, "MPF\0MM\0*\0\0\0\10\0\1", 14);
    add_number(&mpf, 0xB002, 2, true);
    add_number(&mpf, 7, 2, true);
    add_number(&mpf, 32, 4, true);
    add_number(&mpf, 26, 4, true);
    add_number(&mpf, 0, 4, true);
    add(&mpf, "\0\3\0\0", 4);
    add_number(&mpf, 1000, 4, true); /* the first one's size */
    add(&mpf, "\0\0\0\0\0\0\0\0", 8);
    add(&mpf, "\0\0\0\0\0\0\1\0\0\0\3\xE8\0\0\0\0", 16);
    make_jpeg(&file, 0xE2, mpf.data, mpf.len);
    struct buf     a    = spliced(&file, PACKET_A);
    size_t         more = a.len - file.len, at = 20 + 4 + 4 + 26 + 4;
    const uint8_t *size = (const uint8_t *)a.data + more + at;
    assert_int_equal(size[0] << 24 | size[1] << 16 | size[2] << 8 | size[3], 1000 + (int)more);
    assert_memory_equal(a.data + more + at + 4, file.data + at + 4, file.len - at - 4);
    struct buf none = spliced(&a, NULL);
    assert_same(&file, &none);
    /* Behind the list a packet cannot change. */
    buf_init(&longer, 1 << 16);
    add(&longer, "http://ns.adobe.com/xap/1.0/\0<x/>", 33);
    struct buf late;
    buf_init(&late, 1 << 20);
    add(&late, "\xFF\xD8", 2);
    add_segment(&late, 0xE2, mpf.data, mpf.len);
    add_segment(&late, 0xE1, longer.data, longer.len);
    add_segment(&late, 0xDA, "\1\1\0\0\77\0", 6);
    struct container_parts parts;
    assert_int_equal(container_splice((const uint8_t *)late.data, late.len, PACKET_A,
                                      strlen(PACKET_A), &parts, NULL),
                     ERR_UNSUPPORTED);
    buf_release(&late);
    buf_release(&longer);
    buf_release(&none);
    buf_release(&a);
    buf_release(&file);
    buf_release(&mpf);
}

static void png_keeps_all_but_the_packet(void **state)
{
    struct buf file;
    (void)state;
    make_png(&file);
    size_t pixels = 8 + 25 + 20;
    round_trip(&file, file.data + pixels, file.len - pixels);
    every_length(&file);
    struct buf a = spliced(&file, PACKET_A);
    assert_memory_equal(a.data, file.data, pixels); /* before the pixels */
    assert_memory_equal(a.data + pixels + 4, "iTXtXML:com.adobe.xmp\0\0\0\0\0", 26);
    buf_release(&a);
    buf_release(&file);
}

static void webp_keeps_all_but_the_packet(void **state)
{
    struct buf file;
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        make_webp(&file, kind);
        size_t from = kind == 2 ? 30 : 12;
        round_trip(&file, file.data + from, file.len - from);
        every_length(&file);
        struct buf     a    = spliced(&file, PACKET_A);
        const uint8_t *vp8x = (const uint8_t *)a.data + 12;
        assert_memory_equal(vp8x, "VP8X\12\0\0\0", 8);
        assert_int_equal(vp8x[8], kind == 2 ? 0x24 : kind == 1 ? 0x14 : 0x04);
        assert_int_equal(vp8x[12] | vp8x[13] << 8, 319);
        assert_int_equal(vp8x[15] | vp8x[16] << 8, 239);
        buf_release(&a);
        buf_release(&file);
    }
}

static void tiff_keeps_all_but_the_packet(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++) {
        struct tiff_shape s = {.big_endian  = i & 1,
                               .big         = i & 2,
                               .odd         = i & 4,
                               .description = i & 8 ? "what it is" : NULL};
        struct buf        file;
        make_tiff(&file, &s);
        size_t head = s.big ? 16 : 8;
        round_trip(&file, file.data + head, file.len - head);
        every_length(&file);
        buf_release(&file);
    }
}

static void iim_and_descriptions_are_found(void **state)
{
    struct buf       iim, file, resources;
    struct container c;
    (void)state;
    buf_init(&iim, 1 << 16);
    add_iim(&iim, 25, "harbour");
    make_tiff(&file, &(struct tiff_shape){.iim = iim.data, .iim_n = iim.len});
    assert_int_equal(container_look((const uint8_t *)file.data, file.len, &c, NULL), 0);
    assert_int_equal(c.iim.len, iim.len);
    assert_memory_equal(c.iim.data, iim.data, iim.len);
    container_release(&c);
    buf_release(&file);
    buf_init(&resources, 1 << 16);
    add(&resources, "Photoshop 3.0\0", 14);
    add(&resources, "8BIM\4\2\0\0\0\0\0\1x\0", 14);
    add(&resources, "8BIM\4\4\3abc", 10);
    add_number(&resources, iim.len, 4, true);
    add(&resources, iim.data, iim.len);
    make_jpeg(&file, 0xED, resources.data, resources.len);
    assert_int_equal(container_look((const uint8_t *)file.data, file.len, &c, NULL), 0);
    assert_int_equal(c.iim.len, iim.len);
    assert_memory_equal(c.iim.data, iim.data, iim.len);
    container_release(&c);
    buf_release(&file);
    buf_release(&resources);
    buf_release(&iim);
}

static void other_files_are_refused(void **state)
{
    struct container_parts parts;
    struct err             err = ERR_INIT;
    (void)state;
    assert_int_equal(container_splice((const uint8_t *)"GIF89a and more", 15, PACKET_A,
                                      strlen(PACKET_A), &parts, &err),
                     ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "JPEG, PNG, TIFF and WebP"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jpeg_keeps_all_but_the_packet),
        cmocka_unit_test(jpeg_has_a_limit),
        cmocka_unit_test(jpeg_reads_what_is_extended),
        cmocka_unit_test(jpeg_sets_the_first_size_right),
        cmocka_unit_test(png_keeps_all_but_the_packet),
        cmocka_unit_test(webp_keeps_all_but_the_packet),
        cmocka_unit_test(tiff_keeps_all_but_the_packet),
        cmocka_unit_test(iim_and_descriptions_are_found),
        cmocka_unit_test(other_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
