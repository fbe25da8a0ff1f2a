/* Colours to sRGB: see colour.h. */
#include "image/colour.h"

#ifndef OSPREY_HAVE_LCMS
#define OSPREY_HAVE_LCMS 0
#endif

bool colour_is_built(void)
{
    return OSPREY_HAVE_LCMS;
}

#if OSPREY_HAVE_LCMS

#include "base/mem.h"

#include <lcms2.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_PROFILE ((size_t)16 << 20) /* bytes; a printer's have some megabytes */
#define SAME_XYZ     0.002              /* of two colorants */
#define SAME_LEVEL   (1.0 / 255)        /* of two curves, in what they show */
#define CURVE_POINTS 16                 /* at which curves are compared */
#define TABLE_POINTS 1024               /* of a curve that no formula of littlecms has */
#define WHITE_NITS   203.0
#define SAMPLES_OF   8191 /* steps of light that are told apart: half a level near black */

/* A profile of three curves and a matrix, which nearly all pictures' are: what
 * littlecms does of it, by tables, in a third of its time. */
struct shaper {
    float   light[3][256];          /* of a sample of each channel */
    float   matrix[3][3];           /* to sRGB's light */
    uint8_t sample[SAMPLES_OF + 1]; /* of light, 0 to 1 */
};

struct colour {
    cmsHTRANSFORM  transform; /* NULL: shaper, or grey */
    struct shaper *shaper;
    bool           alpha;
    uint8_t        grey[256][3];
};

void colour_free(struct colour *c)
{
    if (!c)
        return;
    if (c->transform)
        cmsDeleteTransform(c->transform);
    free(c->shaper);
    free(c);
}

static void shape(const struct shaper *s, size_t step, const uint8_t *in, uint8_t *out, int n)
{
    for (int i = 0; i < n; i++, in += step, out += step) {
        float r = s->light[0][in[0]], g = s->light[1][in[1]], b = s->light[2][in[2]];
        if (step == 4)
            out[3] = in[3];
        for (int c = 0; c < 3; c++) {
            float v = s->matrix[c][0] * r + s->matrix[c][1] * g + s->matrix[c][2] * b;
            v       = v < 0 ? 0 : v > 1 ? 1 : v;
            out[c]  = s->sample[(int)(v * SAMPLES_OF + 0.5F)];
        }
    }
}

void colour_row(const struct colour *c, const uint8_t *in, uint8_t *out, int n)
{
    if (c->transform) {
        cmsDoTransform(c->transform, in, out, (cmsUInt32Number)n);
        return;
    }
    size_t step = c->alpha ? 4 : 3;
    if (c->shaper) {
        shape(c->shaper, step, in, out, n);
        return;
    }
    for (int i = 0; i < n; i++, in += step, out += step) {
        uint8_t level = in[0];
        if (c->alpha)
            out[3] = in[3];
        memcpy(out, c->grey[level], 3);
    }
}

/* ---- Is it sRGB? ---- */

/* IEC 61966-2-1: from light to samples, 0 to 1. */
static double encoded(double light)
{
    if (light <= 0.0031308)
        return 12.92 * light;
    return 1.055 * pow(light, 1 / 2.4) - 0.055;
}

static bool curve_is_srgb(const cmsToneCurve *curve)
{
    if (!curve)
        return false;
    for (int i = 1; i <= CURVE_POINTS; i++) {
        double x = (double)i / CURVE_POINTS;
        if (fabs(encoded((double)cmsEvalToneCurveFloat(curve, (float)x)) - x) > SAME_LEVEL)
            return false;
    }
    return true;
}

static const cmsTagSignature colorants[3] = {cmsSigRedColorantTag, cmsSigGreenColorantTag,
                                             cmsSigBlueColorantTag};
static const cmsTagSignature curves[3]    = {cmsSigRedTRCTag, cmsSigGreenTRCTag, cmsSigBlueTRCTag};
/* sRGB's colorants, adapted to D50, and the way back. */
static const double          srgb_xyz[3][3] = {
             {0.43607, 0.22249, 0.01392}, {0.38515, 0.71687, 0.09708}, {0.14307, 0.06061, 0.71410}};
static const double srgb_back[3][3] = {
    {3.13410, -1.61740, -0.49064}, {-0.97879, 1.91629, 0.03345}, {0.07197, -0.22899, 1.40538}};

/* Three curves and a matrix, and no table that would rule over them. */
static bool is_shaper(cmsHPROFILE profile)
{
    return cmsGetColorSpace(profile) == cmsSigRgbData && cmsGetPCS(profile) == cmsSigXYZData &&
           !cmsIsTag(profile, cmsSigAToB0Tag) && cmsIsMatrixShaper(profile);
}

static bool profile_is_srgb(cmsHPROFILE profile)
{
    if (cmsGetColorSpace(profile) == cmsSigGrayData)
        return curve_is_srgb(cmsReadTag(profile, cmsSigGrayTRCTag));
    if (!is_shaper(profile))
        return false;
    for (int i = 0; i < 3; i++) {
        const cmsCIEXYZ *c = cmsReadTag(profile, colorants[i]);
        if (!c || fabs(c->X - srgb_xyz[i][0]) > SAME_XYZ ||
            fabs(c->Y - srgb_xyz[i][1]) > SAME_XYZ || fabs(c->Z - srgb_xyz[i][2]) > SAME_XYZ ||
            !curve_is_srgb(cmsReadTag(profile, curves[i])))
            return false;
    }
    return true;
}

/* ---- Transforms ---- */

static bool make_grey(struct colour *c, cmsHPROFILE from, cmsHPROFILE srgb)
{
    uint8_t       levels[256];
    cmsHTRANSFORM t = cmsCreateTransform(from, TYPE_GRAY_8, srgb, TYPE_RGB_8, INTENT_PERCEPTUAL,
                                         cmsFLAGS_NOCACHE);
    if (!t)
        return false;
    for (int i = 0; i < 256; i++)
        levels[i] = (uint8_t)i;
    cmsDoTransform(t, levels, c->grey, 256);
    cmsDeleteTransform(t);
    return true;
}

static bool fill_shaper(struct shaper *s, cmsHPROFILE from)
{
    for (int i = 0; i < 3; i++) {
        const cmsCIEXYZ    *xyz   = cmsReadTag(from, colorants[i]);
        const cmsToneCurve *curve = cmsReadTag(from, curves[i]);
        if (!xyz || !curve)
            return false;
        for (int k = 0; k < 3; k++)
            s->matrix[k][i] = (float)(srgb_back[k][0] * xyz->X + srgb_back[k][1] * xyz->Y +
                                      srgb_back[k][2] * xyz->Z);
        for (int k = 0; k < 256; k++) {
            s->light[i][k] = cmsEvalToneCurveFloat(curve, (float)k / 255);
            if (!(s->light[i][k] >= -1 && s->light[i][k] <= 2))
                return false;
        }
    }
    for (int k = 0; k <= SAMPLES_OF; k++)
        s->sample[k] = (uint8_t)(255 * encoded((double)k / SAMPLES_OF) + 0.5);
    return true;
}

/* False: littlecms must do it. */
static bool make_shaper(struct colour *c, cmsHPROFILE from)
{
    if (!is_shaper(from))
        return false;
    c->shaper = mem_zeroed(1, sizeof *c->shaper);
    if (c->shaper && fill_shaper(c->shaper, from))
        return true;
    free(c->shaper);
    c->shaper = NULL;
    return false;
}

static bool make_transform(struct colour *c, cmsHPROFILE from, cmsHPROFILE srgb,
                           enum colour_layout layout)
{
    cmsUInt32Number in = TYPE_RGB_8, out = TYPE_RGB_8, flags = 0;
    bool            cmyk = layout == COLOUR_CMYK || layout == COLOUR_CMYK_INVERTED;
    if (layout == COLOUR_RGBA) {
        in = out = TYPE_RGBA_8;
        flags    = cmsFLAGS_COPY_ALPHA;
    } else if (cmyk) {
        in = layout == COLOUR_CMYK ? TYPE_CMYK_8 : TYPE_CMYK_8_REV;
    }
    cmsColorSpaceSignature space = cmsGetColorSpace(from);
    if (space == cmsSigGrayData && !cmyk)
        return make_grey(c, from, srgb);
    if (!cmyk && make_shaper(c, from))
        return true;
    if (space != (cmyk ? cmsSigCmykData : cmsSigRgbData))
        return false;
    c->transform = cmsCreateTransform(from, in, srgb, out, INTENT_PERCEPTUAL, flags);
    return c->transform != NULL;
}

/* Takes the profile over, which may be NULL. */
static enum image_colours from_profile(cmsHPROFILE from, enum colour_layout layout,
                                       struct colour **out)
{
    enum image_colours result = IMAGE_COLOURS_IGNORED;
    *out                      = NULL;
    if (!from)
        return IMAGE_COLOURS_IGNORED;
    if (profile_is_srgb(from)) {
        cmsCloseProfile(from);
        return layout == COLOUR_RGB || layout == COLOUR_RGBA ? IMAGE_COLOURS_SRGB
                                                             : IMAGE_COLOURS_IGNORED;
    }
    cmsHPROFILE    srgb = cmsCreate_sRGBProfile();
    struct colour *c    = mem_zeroed(1, sizeof *c);
    if (c)
        c->alpha = layout == COLOUR_RGBA;
    if (c && srgb && make_transform(c, from, srgb, layout)) {
        *out   = c;
        c      = NULL;
        result = IMAGE_COLOURS_CONVERTED;
    }
    if (srgb)
        cmsCloseProfile(srgb);
    cmsCloseProfile(from);
    colour_free(c);
    return result;
}

enum image_colours colour_from_icc(const void *icc, size_t n, enum colour_layout layout,
                                   struct colour **out)
{
    *out = NULL;
    if (!icc || n > MOST_PROFILE)
        return IMAGE_COLOURS_IGNORED;
    return from_profile(cmsOpenProfileFromMem(icc, (cmsUInt32Number)n), layout, out);
}

static cmsHPROFILE profile_of(const double xy[8], cmsToneCurve *curve)
{
    static const double srgb[8] = {0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06};
    if (!xy)
        xy = srgb;
    cmsCIExyY       white   = {.x = xy[0], .y = xy[1], .Y = 1};
    cmsCIExyYTRIPLE primary = {.Red   = {.x = xy[2], .y = xy[3], .Y = 1},
                               .Green = {.x = xy[4], .y = xy[5], .Y = 1},
                               .Blue  = {.x = xy[6], .y = xy[7], .Y = 1}};
    for (int i = 0; i < 4; i++) {
        if (!(xy[2 * i] >= 0 && xy[2 * i] <= 1 && xy[2 * i + 1] > 1e-4 && xy[2 * i + 1] <= 1))
            return NULL;
    }
    cmsToneCurve *same[3] = {curve, curve, curve};
    return curve ? cmsCreateRGBProfile(&white, &primary, same) : NULL;
}

enum image_colours colour_from_gamma(const double xy[8], double decoding, enum colour_layout layout,
                                     struct colour **out)
{
    *out = NULL;
    if (!(decoding > 0.1 && decoding < 10))
        return IMAGE_COLOURS_IGNORED;
    /* 1/0.45455 is how files say sRGB that cannot say more. */
    cmsFloat64Number srgb[5] = {2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045};
    cmsToneCurve *curve = fabs(decoding - 2.2) < 0.05 ? cmsBuildParametricToneCurve(NULL, 4, srgb)
                                                      : cmsBuildGamma(NULL, decoding);
    enum image_colours result = from_profile(profile_of(xy, curve), layout, out);
    if (curve)
        cmsFreeToneCurve(curve);
    return result;
}

/* ---- Code points ---- */

/* SMPTE ST 2084 (PQ): light from a sample, 1 being white. */
static double light_of_pq(double v)
{
    double p = pow(v, 1 / 78.84375);
    double t = fmax(p - 0.8359375, 0) / (18.8515625 - 18.6875 * p);
    return 10000 / WHITE_NITS * pow(t, 1 / 0.1593017578125);
}

/* ITU-R BT.2100 (HLG), on a display of 1,000 cd/m2, the system gamma applied to
 * each channel by itself. */
static double light_of_hlg(double v)
{
    double scene = v <= 0.5 ? v * v / 3 : (exp((v - 0.55991073) / 0.17883277) + 0.28466892) / 12;
    return 1000 / WHITE_NITS * pow(scene, 1.2);
}

static cmsToneCurve *tabulated(double light(double))
{
    uint16_t table[TABLE_POINTS];
    for (int i = 0; i < TABLE_POINTS; i++)
        table[i] = (uint16_t)(65535 * fmin(light((double)i / (TABLE_POINTS - 1)), 1) + 0.5);
    return cmsBuildTabulatedToneCurve16(NULL, TABLE_POINTS, table);
}

static cmsToneCurve *curve_of(int transfer)
{
    static const cmsFloat64Number srgb[5] = {2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045};
    switch (transfer) {
    case 1: /* BT.709 and its kin: made to be seen as sRGB is */
    case 2:
    case 6:
    case 13:
    case 14:
    case 15:
        return cmsBuildParametricToneCurve(NULL, 4, srgb);
    case 4:
        return cmsBuildGamma(NULL, 2.2);
    case 5:
        return cmsBuildGamma(NULL, 2.8);
    case 8:
        return cmsBuildGamma(NULL, 1.0);
    case 16:
        return tabulated(light_of_pq);
    case 18:
        return tabulated(light_of_hlg);
    default:
        return NULL;
    }
}

enum image_colours colour_from_cicp(int primaries, int transfer, enum colour_layout layout,
                                    struct colour **out)
{
    static const double bt2020[8] = {0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046};
    static const double p3[8]     = {0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060};
    static const double bt601[8]  = {0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070};
    static const double bt470[8]  = {0.3127, 0.3290, 0.640, 0.330, 0.290, 0.600, 0.150, 0.060};
    const double       *xy        = NULL;
    *out                          = NULL;
    switch (primaries) {
    case 1:
    case 2:
        break;
    case 5:
        xy = bt470;
        break;
    case 6:
    case 7:
        xy = bt601;
        break;
    case 9:
        xy = bt2020;
        break;
    case 12:
        xy = p3;
        break;
    default:
        return IMAGE_COLOURS_IGNORED;
    }
    cmsToneCurve      *curve  = curve_of(transfer);
    enum image_colours result = from_profile(profile_of(xy, curve), layout, out);
    if (curve)
        cmsFreeToneCurve(curve);
    return result;
}

#else

enum image_colours colour_from_icc(const void *icc, size_t n, enum colour_layout layout,
                                   struct colour **out)
{
    (void)icc, (void)n, (void)layout;
    *out = NULL;
    return IMAGE_COLOURS_IGNORED;
}

enum image_colours colour_from_cicp(int primaries, int transfer, enum colour_layout layout,
                                    struct colour **out)
{
    (void)primaries, (void)transfer, (void)layout;
    *out = NULL;
    return IMAGE_COLOURS_IGNORED;
}

enum image_colours colour_from_gamma(const double xy[8], double decoding, enum colour_layout layout,
                                     struct colour **out)
{
    (void)xy, (void)decoding, (void)layout;
    *out = NULL;
    return IMAGE_COLOURS_IGNORED;
}

void colour_free(struct colour *c)
{
    (void)c;
}

void colour_row(const struct colour *c, const uint8_t *in, uint8_t *out, int n)
{
    (void)c, (void)in, (void)out, (void)n;
}

#endif
