/* Loading decoders: see modules.h.
 *
 * The one state that a process has of them is which are loaded, as the dynamic
 * linker has it: a table filled once for each module and never changed again.
 */
#include "image/modules.h"

#include "base/file.h"
#include "base/mem.h"
#include "image/formats.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REASON 160 /* bytes of why one cannot be loaded */

struct slot {
    const struct decode_module *module; /* NULL: not there */
    unsigned                    kinds;  /* that it can decode */
    bool                        tried;
    char                        reason[REASON];
};

/* By kind; kinds of one module have the same in each. */
static struct slot     slots[IMAGE_KINDS];
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;

/* The file of a module, NULL when there is none; freed by the caller. */
static char *find_file(const char *name)
{
    static const char *const folders[] = {"formats", "../formats", "../libexec/osprey/formats"};
    struct err               err       = ERR_INIT;
    char                    *dir = NULL, *found = NULL, end[64];
    if (path_of_program(&dir, &err))
        return NULL;
    for (size_t i = 0; i < sizeof folders / sizeof *folders && !found; i++) {
        (void)snprintf(end, sizeof end, "%s/%s.so", folders[i], name);
        found = path_join(dir, end);
        if (found && access(found, R_OK)) {
            free(found);
            found = NULL;
        }
    }
    free(dir);
    return found;
}

static const struct decode_module *open_file(const char *path, char *reason, size_t size)
{
    /* Never closed: libraries leave threads and handlers behind. */
    void                       *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct decode_module *module = handle ? dlsym(handle, DECODE_MODULE_SYMBOL) : NULL;
    if (!module) {
        const char *why = dlerror();
        (void)snprintf(reason, size, "%s", why ? why : "it is no module");
        return NULL;
    }
    if (strcmp(module->version, OSPREY_VERSION) != 0 ||
        module->job_bytes != sizeof(struct decode_job)) {
        (void)snprintf(reason, size, "%s is of another build", path);
        return NULL;
    }
    return module;
}

static void slot_fill(struct slot *slot, const struct format *format)
{
    slot->tried = true;
    char *path  = find_file(format->module);
    if (!path) {
        (void)snprintf(slot->reason, sizeof slot->reason, "formats/%s.so is missing",
                       format->module);
        return;
    }
    slot->module = open_file(path, slot->reason, sizeof slot->reason);
    if (slot->module)
        slot->kinds = slot->module->begin();
    free(path);
}

/* The kind's slot, filled. The lock is held. */
static struct slot *slot_of(enum image_kind kind)
{
    const struct format *format = format_of(kind);
    struct slot         *slot   = &slots[kind];
    for (int other = IMAGE_JPEG; other < IMAGE_KINDS && !slot->tried; other++) {
        const char *module = format_of((enum image_kind)other)->module;
        if (slots[other].tried && module && !strcmp(module, format->module))
            *slot = slots[other];
    }
    if (!slot->tried)
        slot_fill(slot, format);
    return slot;
}

unsigned modules_load(unsigned kinds)
{
    unsigned able = 0;
    pthread_mutex_lock(&slots_lock);
    for (int kind = IMAGE_JPEG; kind < IMAGE_KINDS; kind++) {
        const struct format *format = format_of((enum image_kind)kind);
        unsigned             bit    = format_bit((enum image_kind)kind);
        if (!format->module)
            able |= bit;
        else if (format->built && (kinds & bit || slots[kind].tried))
            able |= slot_of((enum image_kind)kind)->kinds & bit;
    }
    pthread_mutex_unlock(&slots_lock);
    return able;
}

int module_decode(enum image_kind kind, struct decode_job *job, struct err *err)
{
    const struct format *format = format_of(kind);
    if (!format->built)
        return err_set(err, ERR_UNSUPPORTED, "%s needs %s, which this build of Osprey lacks",
                       format->name, format->library);
    pthread_mutex_lock(&slots_lock);
    const struct slot *slot = slot_of(kind);
    pthread_mutex_unlock(&slots_lock);
    if (!slot->module)
        return err_set(err, ERR_UNSUPPORTED, "%s needs %s, which cannot be loaded: %s",
                       format->name, format->library, slot->reason);
    if (!(slot->kinds & format_bit(kind)))
        return err_set(err, ERR_UNSUPPORTED, "%s needs a codec that this system's %s lacks",
                       format->name, format->library);
    return slot->module->decode(job, err);
}
