/* Where files lie that cost only time when they are gone: $XDG_CACHE_HOME/osprey,
 * else ~/.cache/osprey, a folder for each kind. What has not been used for two months
 * is removed when something new comes.
 */
#ifndef OSPREY_BASE_CACHE_H
#define OSPREY_BASE_CACHE_H

/* The folder of a kind, made if missing; NULL where there is no place for one. Freed by
 * the caller. */
char *cache_dir(const char *kind);

/* Notes, to the day, that a cached file was used. */
void cache_touch(const char *path);
/* Removes the files of a folder that nobody has used for long. */
void cache_remove_unused(const char *dir);

#endif
