/* base/file_swap: the new version is there whole or not at all, with all that the old one
 * had; nothing is replaced that is not what was read.
 */
#include "tests/scratch_folder.h"

#include "base/file_swap.h"
#include "base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define KILLS 50
#define BYTES 300000

static char *path_in(const char *name)
{
    char *path = path_join(folder, name);
    assert_non_null(path);
    return path;
}

static struct stat look(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st;
}

static void assert_holds(const char *path, const char *text)
{
    uint8_t *data = NULL;
    size_t   len  = 0;
    assert_int_equal(file_read(path, 1 << 20, &data, &len, NULL), 0);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(data, text, len);
    free(data);
}

static const struct file_part new_version[] = {{"new ", 4}, {"version", 7}};

static int names_in_folder(void)
{
    int  n   = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

static void all_is_kept(void **state)
{
    char           *path = path_in("kept"), *other = path_in("hard");
    struct timespec old[2] = {{1000000, 123}, {2000000, 456000}};
    struct stat     now;
    struct err      err = ERR_INIT;
    char            value[16];
    (void)state;
    put_text("kept", "old");
    assert_int_equal(link(path, other), 0);
    assert_int_equal(chmod(path, 0640), 0);
    bool owned      = !chown(path, 1234, 2345); /* by root alone */
    bool attributes = !setxattr(path, "user.osprey", "value", 5, 0);
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    struct stat seen = look(path);
    if (file_swap(path, &seen, true, new_version, 2, &now, &err))
        fail_msg("%s", err.msg);
    assert_holds(path, "new version");
    assert_holds(other, "old");
    struct stat after = look(path);
    assert_int_equal(after.st_ino, now.st_ino);
    assert_int_not_equal(after.st_ino, seen.st_ino);
    assert_int_equal(after.st_mode, seen.st_mode);
    assert_int_equal(after.st_mtim.tv_sec, 2000000);
    assert_int_equal(after.st_mtim.tv_nsec, 456000);
    assert_int_equal(after.st_uid, owned ? 1234 : seen.st_uid);
    assert_int_equal(after.st_gid, owned ? 2345 : seen.st_gid);
    if (attributes) {
        assert_int_equal(getxattr(path, "user.osprey", value, sizeof value), 5);
        assert_memory_equal(value, "value", 5);
    }
    /* Without the times: now's. */
    seen = look(path);
    assert_int_equal(file_swap(path, &seen, false, new_version, 1, &now, NULL), 0);
    assert_true(now.st_mtim.tv_sec > 1600000000);
    assert_int_equal(names_in_folder(), 2);
    unlink(path);
    unlink(other);
    free(path);
    free(other);
}

static void what_changed_is_left_alone(void **state)
{
    char      *path = path_in("changed");
    struct err err  = ERR_INIT;
    (void)state;
    put_text("changed", "old");
    struct stat seen = look(path);
    put_text("changed", "another's");
    assert_int_equal(file_swap(path, &seen, true, new_version, 2, NULL, &err), ERR_BUSY);
    assert_int_equal(file_swap_check(path, &seen, false, &err), ERR_BUSY);
    assert_holds(path, "another's");
    assert_int_equal(file_swap(path, NULL, true, new_version, 2, NULL, &err), ERR_BUSY);
    assert_int_equal(file_remove_seen(path, &seen, &err), ERR_BUSY);
    assert_holds(path, "another's");
    assert_int_equal(names_in_folder(), 1);
    seen = look(path);
    assert_int_equal(file_remove_seen(path, &seen, &err), 0);
    assert_int_equal(names_in_folder(), 0);
    free(path);
}

static void what_is_read_only_is_left_alone(void **state)
{
    char      *path = path_in("fixed");
    struct err err  = ERR_INIT;
    (void)state;
    put_text("fixed", "old");
    assert_int_equal(chmod(path, 0444), 0);
    struct stat seen = look(path);
    assert_int_equal(file_swap(path, &seen, true, new_version, 2, NULL, &err), ERR_USAGE);
    assert_non_null(strstr(err.msg, "read-only"));
    assert_holds(path, "old");
    assert_int_equal(file_remove_seen(path, &seen, &err), ERR_USAGE);
    for (int removing = 0; removing < 2; removing++) {
        err = (struct err)ERR_INIT;
        assert_int_equal(file_swap_check(path, &seen, removing, &err), ERR_USAGE);
        assert_non_null(strstr(err.msg, "read-only"));
    }
    assert_int_equal(names_in_folder(), 1);
    unlink(path);
    free(path);
}

/* What could be done is said to be, and is not done. */
static void looking_ahead_changes_nothing(void **state)
{
    char       *path = path_in("ahead"), *fresh = path_in("fresh");
    struct err  err = ERR_INIT;
    struct stat there;
    (void)state;
    put_text("ahead", "old");
    assert_int_equal(chmod(path, 0640), 0);
    (void)!chown(path, 1234, 2345); /* root can keep them */
    struct stat seen = look(path), before = look(folder);
    for (int removing = 0; removing < 2; removing++)
        if (file_swap_check(path, &seen, removing, &err))
            fail_msg("%s", err.msg);
    if (file_swap_check(fresh, NULL, false, &err))
        fail_msg("%s", err.msg);
    assert_holds(path, "old");
    assert_int_equal(lstat(fresh, &there), -1);
    there = look(path);
    assert_int_equal(there.st_ino, seen.st_ino);
    assert_true(there.st_ctim.tv_sec == seen.st_ctim.tv_sec &&
                there.st_ctim.tv_nsec == seen.st_ctim.tv_nsec);
    there = look(folder);
    assert_true(there.st_mtim.tv_sec == before.st_mtim.tv_sec &&
                there.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
    assert_int_equal(names_in_folder(), 1);
    unlink(path);
    free(fresh);
    fresh = path_in("nowhere/fresh");
    assert_int_equal(file_swap_check(fresh, NULL, false, &err), ERR_IO);
    assert_non_null(strstr(err.msg, "nowhere/fresh"));
    free(fresh);
    free(path);
}

/* As somebody who may write the file, but not in its folder, or not keep its owner. */
static void what_is_not_permitted_is_foreseen(void **state)
{
    char *path = path_in("theirs");
    (void)state;
    if (geteuid())
        skip();
    put_text("theirs", "old");
    assert_int_equal(chmod(path, 0666), 0);
    struct stat of_folder = look(folder), seen = look(path);
    for (int open_to_all = 0; open_to_all < 2; open_to_all++) {
        struct err err = ERR_INIT, done = ERR_INIT;
        assert_int_equal(chmod(folder, open_to_all ? 0777 : 0755), 0);
        assert_int_equal(seteuid(1234), 0);
        int foreseen = file_swap_check(path, &seen, false, &err);
        int met      = file_swap(path, &seen, true, new_version, 2, NULL, &done);
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(met, open_to_all ? ERR_USAGE : ERR_IO);
        assert_int_equal(foreseen, met);
        assert_string_equal(err.msg, done.msg);
    }
    assert_holds(path, "old");
    assert_int_equal(names_in_folder(), 1);
    assert_int_equal(chmod(folder, of_folder.st_mode & 07777), 0);
    unlink(path);
    free(path);
}

static void new_files_are_made(void **state)
{
    char       *path = path_in("fresh");
    struct stat now;
    (void)state;
    assert_int_equal(file_swap(path, NULL, false, new_version, 2, &now, NULL), 0);
    assert_holds(path, "new version");
    assert_int_equal(look(path).st_ino, now.st_ino);
    assert_int_equal(names_in_folder(), 1);
    unlink(path);
    free(path);
    path           = path_in("nowhere/fresh");
    struct err err = ERR_INIT;
    assert_int_equal(file_swap(path, NULL, false, new_version, 2, &now, &err), ERR_IO);
    assert_non_null(strstr(err.msg, "nowhere/fresh"));
    free(path);
}

/* Puts one version after the other until it is killed; tells of the first. */
static _Noreturn void swap_forever(const char *path, char *versions[2], int told)
{
    for (int i = 0;; i++) {
        struct file_part parts[2] = {{versions[i & 1], BYTES / 3},
                                     {versions[i & 1] + BYTES / 3, BYTES - BYTES / 3}};
        struct stat      seen;
        if (lstat(path, &seen) || file_swap(path, &seen, true, parts, 2, NULL, NULL))
            _exit(1);
        if (i == 1 && write(told, "", 1) != 1)
            _exit(2);
    }
}

static void kills_leave_one_version_or_the_other(void **state)
{
    char *path   = path_in("killed"), *versions[2];
    int   met[2] = {0};
    (void)state;
    for (int i = 0; i < 2; i++) {
        versions[i] = malloc(BYTES);
        memset(versions[i], 'a' + i, BYTES);
    }
    put("killed", versions[0], BYTES);
    srand(1);
    for (int kill_no = 0; kill_no < KILLS; kill_no++) {
        int pipes[2];
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        if (child == 0)
            swap_forever(path, versions, pipes[1]);
        char byte;
        if (kill_no & 1) /* every other one later on, however slow the machine is */
            assert_int_equal(read(pipes[0], &byte, 1), 1);
        close(pipes[0]);
        nanosleep(&(struct timespec){.tv_nsec = 500000 + rand() % 6000000}, NULL);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        close(pipes[1]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        uint8_t *data = NULL;
        size_t   len  = 0;
        assert_int_equal(file_read(path, 1 << 20, &data, &len, NULL), 0);
        assert_int_equal(len, BYTES);
        assert_true(data[0] == 'a' || data[0] == 'b');
        assert_memory_equal(data, versions[data[0] - 'a'], BYTES);
        met[data[0] - 'a']++;
        free(data);
        assert_in_range(names_in_folder(), 1, 2);
    }
    assert_true(met[0] > 0 && met[1] > 0); /* it did get somewhere */
    struct file_part part = {versions[1], BYTES};
    struct stat      seen = look(path);
    assert_int_equal(file_swap(path, &seen, true, &part, 1, NULL, NULL), 0);
    assert_int_equal(names_in_folder(), 1); /* what a killed one left is gone */
    unlink(path);
    free(path);
    free(versions[0]);
    free(versions[1]);
}

static void pieces_hash_as_the_whole(void **state)
{
    const struct file_part parts[] = {{"abc", 3}, {"", 0}, {"defgh", 5}};
    uint8_t                whole[HASH_BYTES], pieces[HASH_BYTES];
    (void)state;
    hash_bytes("abcdefgh", 8, whole);
    uint8_t known[HASH_BYTES] = {0x00, 0x0a, 0xff, 0x90};
    char    text[HASH_HEX];
    hash_hex(known, text);
    assert_string_equal(text, "000aff90000000000000000000000000");
    assert_true(hash_parts(parts, 3, pieces));
    assert_memory_equal(whole, pieces, HASH_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_kept),
        cmocka_unit_test(what_changed_is_left_alone),
        cmocka_unit_test(what_is_read_only_is_left_alone),
        cmocka_unit_test(looking_ahead_changes_nothing),
        cmocka_unit_test(what_is_not_permitted_is_foreseen),
        cmocka_unit_test(new_files_are_made),
        cmocka_unit_test(kills_leave_one_version_or_the_other),
        cmocka_unit_test(pieces_hash_as_the_whole),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
