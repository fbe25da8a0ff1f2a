/* Videos through FFmpeg's libraries: as a picture, the first frame that is not black;
 * as several, that one and the frames at which the scene changes.
 *
 * A frame is known by its time. Looking for scenes is one decoding (job->frames), a
 * frame's picture another, which seeks (job->time_ms); nothing is kept between. The
 * work is bounded in pixels and is the same each time: a film that costs more than
 * SCAN_PIXELS is looked at in key frames at even distances. Demuxer and codecs are
 * from short lists, bytes come from memory alone, and all is done on this thread.
 * Pixels are taken for square. A module (modules.h).
 */
#include "image/modules.h"

#include "base/mem.h"
#include "image/formats.h"
#include "image/rows.h"
#include "image/scenes.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/common.h>
#include <libswscale/swscale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IO_BYTES        (64 << 10)
#define SCAN_PIXELS     UINT64_C(1200000000) /* about five seconds of decoding */
#define SAMPLES         120                  /* key frames of a long film */
#define MOST_PACKETS    2000000
#define BYTES_PER_PIXEL 24 /* of a codec's reference frames at least, and of ours */

/* What cameras, phones and the web write. */
#define CODECS                                                                                     \
    "h264,hevc,libdav1d,vp8,vp9,mpeg4,mjpeg,h263,mpeg1video,mpeg2video,msmpeg4v2,msmpeg4,prores,"  \
    "dvvideo,cinepak,rawvideo,theora,wmv1,wmv2,svq3,png,qtrle"

struct video {
    struct decode_job *job;
    size_t             at; /* in job->bytes */
    AVIOContext       *io;
    AVFormatContext   *format;
    AVStream          *stream;
    AVCodecContext    *codec;
    AVPacket          *packet;
    AVFrame           *frame;
    struct SwsContext *scale;
    int64_t            start; /* when the first frame is, in the stream's units */
    bool               held;  /* packet is the next one */
    bool               draining;
    uint64_t           spent; /* pixels decoded */
    uint64_t           packets;
    uint8_t           *pixels; /* RGB */
    struct colour     *colour;
    struct rows        rows;
};

/* ---- Bytes ---- */

static int on_read(void *opaque, uint8_t *to, int n)
{
    struct video *v    = opaque;
    size_t        left = v->job->n - v->at, take = (size_t)n < left ? (size_t)n : left;
    if (!take)
        return AVERROR_EOF;
    memcpy(to, v->job->bytes + v->at, take);
    v->at += take;
    return (int)take;
}

static int64_t on_seek(void *opaque, int64_t offset, int whence)
{
    struct video *v    = opaque;
    int64_t       size = (int64_t)v->job->n, base;
    whence &= ~AVSEEK_FORCE;
    if (whence == AVSEEK_SIZE)
        return size;
    base = whence == SEEK_CUR ? (int64_t)v->at : whence == SEEK_END ? size : 0;
    if (offset < -base || offset > size - base)
        return AVERROR(EINVAL);
    v->at = (size_t)(base + offset);
    return base + offset;
}

/* A file may name others. */
static int on_open(AVFormatContext *format, AVIOContext **io, const char *url, int flags,
                   AVDictionary **options)
{
    (void)format, (void)io, (void)url, (void)flags, (void)options;
    return AVERROR(EPERM);
}

static const char *demuxer_of(enum image_kind kind)
{
    switch (kind) {
    case IMAGE_MP4:
    case IMAGE_MOV:
        return "mov";
    case IMAGE_AVI:
        return "avi";
    default:
        return "matroska";
    }
}

/* ---- Opening ---- */

static int explain(int why, const char *what, struct err *err)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    if (why == AVERROR(ENOMEM))
        return err_set(err, ERR_LIMIT, "decoding takes more memory than allowed");
    (void)av_strerror(why, text, sizeof text);
    return err_set(err, ERR_FORMAT, "%s: %s", what, text);
}

static void close_file(struct video *v)
{
    sws_freeContext(v->scale);
    av_frame_free(&v->frame);
    av_packet_free(&v->packet);
    avcodec_free_context(&v->codec);
    avformat_close_input(&v->format);
    if (v->io)
        av_freep(&v->io->buffer);
    avio_context_free(&v->io);
    v->scale = NULL;
}

static int open_file(struct video *v, struct err *err)
{
    uint8_t *buffer = av_malloc(IO_BYTES);
    v->at           = 0;
    v->draining     = false;
    v->io     = buffer ? avio_alloc_context(buffer, IO_BYTES, 0, v, on_read, NULL, on_seek) : NULL;
    v->format = avformat_alloc_context();
    v->packet = av_packet_alloc();
    v->frame  = av_frame_alloc();
    if (!v->io)
        av_free(buffer);
    if (!v->io || !v->format || !v->packet || !v->frame)
        return err_set(err, ERR_NOMEM, "out of memory decoding a video");
    v->format->pb                 = v->io;
    v->format->io_open            = on_open;
    v->format->codec_whitelist    = av_strdup(CODECS);
    v->format->protocol_whitelist = av_strdup("");
    int why                       = avformat_open_input(&v->format, NULL,
                                                        av_find_input_format(demuxer_of(v->job->info->kind)), NULL);
    return why < 0 ? explain(why, "corrupt or truncated in its header", err) : 0;
}

/* Some are told with the first packets alone. */
static int find_stream(struct video *v, struct err *err)
{
    for (unsigned i = 0; i < v->format->nb_streams; i++) {
        AVStream *s       = v->format->streams[i];
        bool      picture = (s->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0; /* a cover */
        if (!v->stream && s->codecpar->codec_type == AVMEDIA_TYPE_VIDEO && !picture)
            v->stream = s;
        else
            s->discard = AVDISCARD_ALL;
    }
    return v->stream ? 0 : err_set(err, ERR_FORMAT, "it has no moving pictures, only sound");
}

static int open_codec(struct video *v, struct err *err)
{
    const AVCodecParameters *parameters = v->stream->codecpar;
    const AVCodec           *codec      = parameters->codec_id == AV_CODEC_ID_AV1
                                              ? avcodec_find_decoder_by_name("libdav1d")
                                              : avcodec_find_decoder(parameters->codec_id);
    if (!codec)
        return err_set(err, ERR_UNSUPPORTED, "it needs a decoder of %s, which this system lacks",
                       avcodec_get_name(parameters->codec_id));
    v->codec = avcodec_alloc_context3(codec);
    if (!v->codec || avcodec_parameters_to_context(v->codec, parameters) < 0)
        return err_set(err, ERR_NOMEM, "out of memory decoding a video");
    uint64_t most             = v->job->limits->max_pixels;
    v->codec->max_pixels      = most < INT64_MAX ? (int64_t)most : INT64_MAX;
    v->codec->thread_count    = 1;
    v->codec->pkt_timebase    = v->stream->time_base;
    v->codec->codec_whitelist = av_strdup(CODECS);
    int why                   = avcodec_open2(v->codec, codec, NULL);
    if (why == AVERROR(EINVAL)) /* it is in no list, or its parameters are broken */
        return err_set(err, ERR_UNSUPPORTED, "its pictures (%s) are not read",
                       avcodec_get_name(parameters->codec_id));
    return why < 0 ? explain(why, "corrupt in its header", err) : 0;
}

static int check_size(struct video *v, struct err *err)
{
    const AVCodecParameters *p      = v->stream->codecpar;
    uint64_t                 width  = p->width > 0 ? (uint64_t)p->width : 0;
    uint64_t                 height = p->height > 0 ? (uint64_t)p->height : 0;
    int                      rc     = decode_check_pixels(v->job, width, height, err);
    if (!rc)
        rc = decode_check_bytes(v->job, width * height * BYTES_PER_PIXEL, err);
    v->job->width  = (int)width;
    v->job->height = (int)height;
    return rc;
}

/* The stream's next packet; false at the end. What is broken is passed by. */
static bool next_packet(struct video *v)
{
    if (v->held) {
        v->held = false;
        return true;
    }
    while (v->packets++ < MOST_PACKETS && av_read_frame(v->format, v->packet) >= 0) {
        if (v->packet->stream_index == v->stream->index)
            return true;
        av_packet_unref(v->packet);
    }
    return false;
}

/* The stream's beginning may be told with its first packet alone, which is held. */
static void find_start(struct video *v)
{
    v->held  = false;
    v->held  = next_packet(v);
    v->start = v->stream->start_time;
    if (v->start == AV_NOPTS_VALUE && v->held)
        v->start = v->packet->pts != AV_NOPTS_VALUE ? v->packet->pts : v->packet->dts;
    if (v->start == AV_NOPTS_VALUE)
        v->start = 0;
}

static int open_video(struct video *v, struct err *err)
{
    v->stream = NULL;
    close_file(v);
    int rc = open_file(v, err);
    if (!rc)
        rc = find_stream(v, err);
    if (!rc)
        rc = check_size(v, err);
    if (!rc)
        rc = open_codec(v, err);
    if (!rc)
        find_start(v);
    return rc;
}

/* ---- What it says ---- */

/* EXIF's number for a display matrix of quarter turns and mirrors: (x, y) goes to
 * (m[0] x + m[3] y, m[1] x + m[4] y), y running down. */
static int orientation_of(const int32_t m[9])
{
    if (!m[1] && !m[3])
        return m[0] < 0 ? (m[4] < 0 ? 3 : 2) : m[4] < 0 ? 4 : 1;
    if (!m[0] && !m[4])
        return m[1] < 0 ? (m[3] < 0 ? 7 : 8) : m[3] < 0 ? 6 : 5;
    return 1;
}

static void read_orientation(struct video *v)
{
    const uint8_t *data = NULL;
    size_t         size = 0;
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
    const AVPacketSideData *side =
        av_packet_side_data_get(v->stream->codecpar->coded_side_data,
                                v->stream->codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
    data = side ? side->data : NULL;
    size = side ? side->size : 0;
#else
    data = av_stream_get_side_data(v->stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
#endif
    int32_t matrix[9];
    v->job->orientation = 1;
    if (!data || size < sizeof matrix)
        return;
    memcpy(matrix, data, sizeof matrix);
    v->job->orientation = orientation_of(matrix);
}

static const char *said(const struct video *v, const char *key)
{
    const AVDictionaryEntry *entry = av_dict_get(v->format->metadata, key, NULL, 0);
    return entry ? entry->value : "";
}

static void read_metadata(struct video *v)
{
    /* Apple's tells the zone, and outlives an export, which is a creation of its own. */
    const char *date = said(v, "com.apple.quicktime.creationdate");
    if (!*date)
        date = said(v, "creation_time");
    exif_take(said(v, "com.apple.quicktime.make"), said(v, "com.apple.quicktime.model"), date,
              "+00:00", v->job->info);
}

/* ---- Frames ---- */

static int32_t time_of(const struct video *v, const AVFrame *frame)
{
    int64_t pts = frame->best_effort_timestamp;
    if (pts == AV_NOPTS_VALUE)
        return 0;
    int64_t ms =
        av_rescale_q(av_sat_sub64(pts, v->start), v->stream->time_base, (AVRational){1, 1000});
    return ms < 0 ? 0 : ms < INT32_MAX ? (int32_t)ms : INT32_MAX;
}

static bool seek(struct video *v, int64_t ms)
{
    int64_t to =
        av_sat_add64(v->start, av_rescale_q(ms, (AVRational){1, 1000}, v->stream->time_base));
    if (v->held)
        av_packet_unref(v->packet);
    v->held = false;
    int why = av_seek_frame(v->format, v->stream->index, to, AVSEEK_FLAG_BACKWARD);
    avcodec_flush_buffers(v->codec);
    v->draining = false;
    return why >= 0;
}

/* The next frame; false at the end, or when too much was decoded. */
static bool next_frame(struct video *v)
{
    while (v->spent <= 2 * SCAN_PIXELS) {
        int why = avcodec_receive_frame(v->codec, v->frame);
        if (!why) {
            v->spent += (uint64_t)v->frame->width * (uint64_t)v->frame->height;
            return true;
        }
        if (why != AVERROR(EAGAIN) || v->draining)
            return false;
        v->draining = !next_packet(v);
        (void)avcodec_send_packet(v->codec, v->draining ? NULL : v->packet);
        av_packet_unref(v->packet);
    }
    return false;
}

/* The first key frame from a place on; false when it is the one before, or there is none. */
static bool next_key_frame(struct video *v, int64_t *before)
{
    while (next_packet(v)) {
        bool    key  = (v->packet->flags & AV_PKT_FLAG_KEY) != 0;
        int64_t when = v->packet->pts != AV_NOPTS_VALUE ? v->packet->pts : v->packet->dts;
        if (key && when != *before) {
            *before = when;
            (void)avcodec_send_packet(v->codec, v->packet);
            (void)avcodec_send_packet(v->codec, NULL);
        }
        av_packet_unref(v->packet);
        if (key)
            return !avcodec_receive_frame(v->codec, v->frame);
    }
    return false;
}

/* ---- Scenes ---- */

static int scale_to(struct video *v, int width, int height, enum AVPixelFormat format, int how,
                    struct err *err)
{
    const AVFrame *f = v->frame;
    v->scale = sws_getCachedContext(v->scale, f->width, f->height, (enum AVPixelFormat)f->format,
                                    width, height, format, how, NULL, NULL, NULL);
    if (!v->scale)
        return err_set(err, ERR_UNSUPPORTED, "its pixels cannot be converted");
    int standard = f->colorspace != AVCOL_SPC_UNSPECIFIED ? (int)f->colorspace
                   : f->height >= 720                     ? SWS_CS_ITU709
                                                          : SWS_CS_ITU601;
    (void)sws_setColorspaceDetails(v->scale, sws_getCoefficients(standard),
                                   f->color_range == AVCOL_RANGE_JPEG,
                                   sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
    return 0;
}

static int thumbnail(struct video *v, uint8_t luma[SCENES_PIXELS], struct err *err)
{
    uint8_t *to[4]     = {luma};
    int      stride[4] = {SCENES_SIDE};
    int      rc        = scale_to(v, SCENES_SIDE, SCENES_SIDE, AV_PIX_FMT_GRAY8, SWS_AREA, err);
    if (!rc)
        (void)sws_scale(v->scale, (const uint8_t *const *)v->frame->data, v->frame->linesize, 0,
                        v->frame->height, to, stride);
    return rc;
}

static int take_scene(struct video *v, struct scenes *s, struct err *err)
{
    uint8_t luma[SCENES_PIXELS] = {0};
    int     rc                  = thumbnail(v, luma, err);
    if (!rc)
        scenes_take(s, time_of(v, v->frame), luma);
    return rc;
}

/* Milliseconds; 0: it does not say. */
static int64_t duration_of(const struct video *v)
{
    int64_t ms = v->format->duration / (AV_TIME_BASE / 1000);
    if (v->stream->duration > 0)
        ms = av_rescale_q(v->stream->duration, v->stream->time_base, (AVRational){1, 1000});
    return ms < 0 ? 0 : ms < INT32_MAX ? ms : INT32_MAX;
}

static bool is_long(const struct video *v)
{
    double rate = av_q2d(v->stream->avg_frame_rate);
    if (!(rate > 1 && rate < 240))
        rate = 30;
    double frames = v->stream->nb_frames > 0 ? (double)v->stream->nb_frames
                                             : (double)duration_of(v) / 1e3 * rate;
    return frames * v->job->width * v->job->height > (double)SCAN_PIXELS;
}

static int scan_samples(struct video *v, struct scenes *s, struct err *err)
{
    int64_t  duration = duration_of(v), before = AV_NOPTS_VALUE;
    uint64_t most = SCAN_PIXELS / ((uint64_t)v->job->width * (uint64_t)v->job->height);
    int      n = most < SAMPLES ? (int)most + 1 : SAMPLES, rc = 0;
    v->codec->skip_frame = AVDISCARD_NONKEY;
    for (int i = 0; i < n && !rc; i++) {
        bool there = seek(v, duration * i / n);
        if (there && next_key_frame(v, &before))
            rc = take_scene(v, s, err);
    }
    return rc;
}

/* Finds the first good frame, or all that are wanted, and puts their times down. */
static int find_frames(struct video *v, struct err *err)
{
    struct image_info *info = v->job->info;
    int                most = v->job->frames, rc = 0;
    struct scenes     *s = mem_zeroed(1, sizeof *s);
    if (!s)
        return err_set(err, ERR_NOMEM, "out of memory decoding a video");
    most = most < 1 ? 1 : most > IMAGE_FRAMES_MAX ? IMAGE_FRAMES_MAX : most;
    while (!rc && !s->n && v->spent < SCAN_PIXELS / 4 && next_frame(v))
        rc = take_scene(v, s, err);
    if (!rc && most > 1 && is_long(v))
        rc = scan_samples(v, s, err);
    while (!rc && most > 1 && !is_long(v) && next_frame(v))
        rc = take_scene(v, s, err);
    if (!s->n)
        s->n = 1; /* all black, or none: the beginning */
    scenes_spread(s, most);
    info->pages = s->n;
    for (int i = 0; i < s->n; i++)
        info->times_ms[i] = s->ms[i];
    free(s);
    return rc;
}

/* ---- Pixels ---- */

/* Decodes on to the first frame from a time on. *late: the first that came was later. */
static bool go_on_to(struct video *v, int64_t ms, bool *late)
{
    *late = true;
    while (next_frame(v)) {
        int64_t now = time_of(v, v->frame);
        if (now >= ms) {
            *late = *late && now > ms;
            return true;
        }
        *late = false;
    }
    return false;
}

/* A key frame's place in the file may be before frames that are seen before it: then it is
 * sought from farther back; and from the beginning where seeking leads nowhere. */
static int find_frame(struct video *v, int64_t ms, struct err *err)
{
    bool late = true, found = false;
    if (ms <= 0 || seek(v, ms + 1))
        found = go_on_to(v, ms, &late);
    if ((!found || late) && ms > 0 && seek(v, ms > 2000 ? ms - 2000 : 0))
        found = go_on_to(v, ms, &late);
    if (!found) {
        int rc = open_video(v, err);
        if (rc)
            return rc;
        found = go_on_to(v, ms, &late);
    }
    return found
               ? 0
               : err_set(err, ERR_FORMAT, "no frame at %.1f s can be decoded: truncated or corrupt",
                         (double)ms / 1e3);
}

static bool is_wide(const AVFrame *f)
{
    return f->color_primaries == AVCOL_PRI_BT2020 || f->color_primaries == AVCOL_PRI_SMPTE432;
}

/* As large as the header says: a codec may change its mind from frame to frame. */
static int put_frame(struct video *v, struct err *err)
{
    struct decode_job *job   = v->job;
    const AVFrame     *f     = v->frame;
    int                width = job->width, height = job->height;
    size_t             stride = ((size_t)width * 3 + 63) / 64 * 64, size;
    int                rc     = scale_to(v, width, height, AV_PIX_FMT_RGB24,
                                         SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, err);
    if (rc)
        return rc;
    if (is_wide(f))
        job->info->colours =
            colour_from_cicp((int)f->color_primaries, (int)f->color_trc, COLOUR_RGB, &v->colour);
    rc = rows_open(&v->rows, job, width, height, ROWS_OPAQUE, v->colour, err);
    if (rc)
        return rc;
    /* swscale may write a little beyond a row. */
    if (!size_mul(stride, (size_t)height, &size) || !(v->pixels = mem_aligned(size + 64, 1)))
        return err_set(err, ERR_NOMEM, "out of memory for %d x %d pixels", width, height);
    uint8_t *to[4]   = {v->pixels};
    int      step[4] = {(int)stride};
    if (sws_scale(v->scale, (const uint8_t *const *)f->data, f->linesize, 0, f->height, to, step) !=
        height)
        return err_set(err, ERR_FORMAT, "its pixels cannot be converted");
    for (int y = 0; y < height; y++)
        rows_put(&v->rows, y, v->pixels + (size_t)y * stride);
    return 0;
}

static int read_video(struct video *v, struct err *err)
{
    struct decode_job *job = v->job;
    int                rc  = open_video(v, err);
    if (rc)
        return rc;
    read_orientation(v);
    read_metadata(v);
    if (!job->out)
        return 0;
    int64_t ms = job->time_ms;
    if (ms < 0) {
        rc = find_frames(v, err);
        ms = job->info->times_ms[0];
        if (!rc)
            rc = open_video(v, err);
    }
    v->spent = v->packets = 0;
    if (!rc)
        rc = find_frame(v, ms, err);
    return rc ? rc : put_frame(v, err);
}

static int video_decode(struct decode_job *job, struct err *err)
{
    struct video *v = mem_zeroed(1, sizeof *v);
    if (!v)
        return err_set(err, ERR_NOMEM, "out of memory decoding a video");
    v->job = job;
    int rc = read_video(v, err);
    if (rc)
        job->info->pages = 0;
    close_file(v);
    rows_close(&v->rows);
    colour_free(v->colour);
    free(v->pixels);
    free(v);
    return rc;
}

static unsigned video_begin(void)
{
    av_log_set_level(AV_LOG_QUIET);
    return format_bit(IMAGE_MP4) | format_bit(IMAGE_MOV) | format_bit(IMAGE_MATROSKA) |
           format_bit(IMAGE_WEBM) | format_bit(IMAGE_AVI);
}

const struct decode_module DECODE_MODULE = {.version   = OSPREY_VERSION,
                                            .job_bytes = sizeof(struct decode_job),
                                            .begin     = video_begin,
                                            .decode    = video_decode};
