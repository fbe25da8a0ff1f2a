/* Which model new libraries take unless told otherwise (models.h): one line in
 * $XDG_CONFIG_HOME/osprey/default-model, a name or an absolute folder. */
#include "model/models.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_NAME 8192 /* bytes of the file */

static int settings_dir(char **dir, struct err *err)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (config && config[0] == '/') /* a relative one is to be ignored, says XDG */
        *dir = path_join(config, "osprey");
    else if (home && *home)
        *dir = path_join(home, ".config/osprey");
    else
        return err_set(err, ERR_USAGE,
                       "cannot tell where settings are: neither XDG_CONFIG_HOME nor HOME is set");
    return *dir ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

static int settings_path(char **path, struct err *err)
{
    char *dir = NULL;
    int   rc  = settings_dir(&dir, err);
    if (!rc && !(*path = path_join(dir, "default-model")))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    free(dir);
    return rc;
}

int models_default(char **name, struct err *err)
{
    char    *path = NULL;
    uint8_t *text = NULL;
    size_t   len  = 0;
    int      rc   = 0;
    if (!settings_path(&path, NULL) && file_exists(path))
        rc = file_read(path, MAX_NAME, &text, &len, err);
    if (!rc && text) {
        if (len > 0 && text[len - 1] == '\n')
            text[--len] = '\0';
        if (len == 0 || strlen((char *)text) != len)
            rc = err_set(err, ERR_FORMAT, "%s does not name a model: remove it", path);
    }
    if (!rc && !(*name = mem_strdup(text ? (const char *)text : MODELS_DEFAULT)))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    free(text);
    free(path);
    return rc;
}

int models_set_default(const char *name, struct err *err)
{
    char            *dir = NULL, *path = NULL;
    struct file_part parts[] = {{name, strlen(name)}, {"\n", 1}};
    int              rc      = settings_path(&path, err);
    if (!rc && strcmp(name, MODELS_DEFAULT) == 0) {
        if (unlink(path) && errno != ENOENT && errno != ENOTDIR)
            rc = err_set(err, ERR_IO, "cannot remove %s: %s", path, strerror(errno));
        goto out;
    }
    if (!rc)
        rc = settings_dir(&dir, err);
    if (!rc)
        rc = file_mkdirs(dir, err);
    if (!rc)
        rc = file_replace_parts(path, parts, 2, err);
out:
    free(dir);
    free(path);
    return rc;
}
