/* Connections and their patience: see links.h. */
#include "searchd/links.h"

#include "base/mem.h"
#include "searchd/server.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum state { WAITING, BUSY, REPLYING };

struct link {
    struct link *next, *prev;
    int          fd;
    enum state   state;
    double       since; /* ms */
};

struct links {
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    struct link     ring; /* its head */
    unsigned        n;
    int             arrive_seconds, reply_seconds;
    bool            stopping;
    pthread_t       watch;
};

static void *watch(void *arg)
{
    struct links *links = arg;
    pthread_mutex_lock(&links->lock);
    while (!links->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1;
        pthread_cond_timedwait(&links->wake, &links->lock, &until);
        double now = clock_ms();
        for (struct link *l = links->ring.next; l != &links->ring; l = l->next) {
            int seconds = l->state == WAITING ? links->arrive_seconds : links->reply_seconds;
            if (l->state != BUSY && now - l->since > seconds * 1e3)
                shutdown(l->fd, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&links->lock);
    return NULL;
}

int links_open(int arrive_seconds, int reply_seconds, struct links **out, struct err *err)
{
    struct links *links = mem_zeroed(1, sizeof *links);
    if (!links)
        return err_set(err, ERR_NOMEM, "out of memory");
    links->ring.next = links->ring.prev = &links->ring;
    links->arrive_seconds               = arrive_seconds;
    links->reply_seconds                = reply_seconds;
    pthread_mutex_init(&links->lock, NULL);
    pthread_cond_init(&links->wake, NULL);
    if (pthread_create(&links->watch, NULL, watch, links)) {
        pthread_mutex_destroy(&links->lock);
        pthread_cond_destroy(&links->wake);
        free(links);
        return err_set(err, ERR_FAILED, "cannot start a thread");
    }
    *out = links;
    return 0;
}

void links_close(struct links *links)
{
    if (!links)
        return;
    pthread_mutex_lock(&links->lock);
    links->stopping = true;
    pthread_cond_signal(&links->wake);
    pthread_mutex_unlock(&links->lock);
    pthread_join(links->watch, NULL);
    pthread_mutex_destroy(&links->lock);
    pthread_cond_destroy(&links->wake);
    free(links);
}

unsigned links_count(struct links *links)
{
    pthread_mutex_lock(&links->lock);
    unsigned n = links->n;
    pthread_mutex_unlock(&links->lock);
    return n;
}

struct link *link_add(struct links *links, int fd)
{
    struct link *link = mem_zeroed(1, sizeof *link);
    if (!link)
        return NULL;
    link->fd    = fd;
    link->since = clock_ms();
    pthread_mutex_lock(&links->lock);
    link->next             = &links->ring;
    link->prev             = links->ring.prev;
    links->ring.prev->next = link;
    links->ring.prev       = link;
    links->n++;
    pthread_mutex_unlock(&links->lock);
    return link;
}

void link_remove(struct links *links, struct link *link)
{
    pthread_mutex_lock(&links->lock);
    link->next->prev = link->prev;
    link->prev->next = link->next;
    links->n--;
    pthread_mutex_unlock(&links->lock);
    free(link);
}

static void change(struct links *links, struct link *link, enum state state)
{
    pthread_mutex_lock(&links->lock);
    link->state = state;
    link->since = clock_ms();
    pthread_mutex_unlock(&links->lock);
}

void link_is_busy(struct links *links, struct link *link)
{
    change(links, link, BUSY);
}

void link_is_replying(struct links *links, struct link *link)
{
    change(links, link, REPLYING);
}

void link_is_idle(struct links *links, struct link *link)
{
    change(links, link, WAITING);
}
