/* osprey-searchd: serves a library over HTTP until it is told to stop.
 *
 * The first slice: text search and similar pictures as JSON, on loopback
 * addresses alone (routes.h).
 */
#include "base/mem.h"
#include "searchd/routes.h"
#include "searchd/server.h"
#include "storage/library_encoder.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_OK = 0, EXIT_WRONG_USAGE = 2, EXIT_FAILED = 3 };

#define DEFAULT_PORT  7373
#define QUERY_THREADS 2

static const char help[] =
    "Serves a library over HTTP until it is stopped.\n"
    "\n"
    "Usage: osprey serve [OPTION...]\n"
    "\n"
    "  --port N            the port (default 7373; 0 takes a free one and prints it)\n"
    "  --listen ADDR       a loopback address (default 127.0.0.1)\n"
    "  --library DIR       the library ($OSPREY_LIBRARY, else ~/.local/share/osprey/library)\n"
    "  --model NAME|DIR    the model that filled it (default: found by itself)\n"
    "  -k N                how many results a search without k gets (default 20)\n"
    "  --precision P       auto, f32, bf16 or int8\n"
    "  --json              the address as a JSON object\n"
    "  -q, --quiet         no notes on standard error\n"
    "  -h, --help          this help\n"
    "\n"
    "  GET /v1/search?q=TEXT&k=N      GET /v1/images/ID    GET /v1/images/ID/similar?k=N\n"
    "  GET /v1/stats                  GET /healthz         GET /readyz\n"
    "\n"
    "Exit status: 0 stopped by a signal, 2 wrong usage, 3 failed.\n";

struct options {
    const char    *library, *model, *address;
    uint16_t       port;
    size_t         k;
    enum precision precision;
    bool           quiet, json, help;
};

static int parse_number(const char *text, const char *option, unsigned long low, unsigned long high,
                        unsigned long *out, struct err *err)
{
    char *end;
    errno                = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || number < low || number > high)
        return err_set(err, ERR_USAGE, "%s takes a number from %lu to %lu, not %s", option, low,
                       high, text);
    *out = number;
    return 0;
}

static int parse_options(int argc, char **argv, struct options *o, struct err *err)
{
    static const struct option known[] = {
        {"port", required_argument, NULL, 'p'},
        {"listen", required_argument, NULL, 'l'},
        {"library", required_argument, NULL, 'L'},
        {"model", required_argument, NULL, 'm'},
        {"precision", required_argument, NULL, 'P'},
        {"json", no_argument, NULL, 'j'},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    *o                   = (struct options){.address   = "127.0.0.1",
                                            .port      = DEFAULT_PORT,
                                            .k         = ROUTES_DEFAULT_K,
                                            .precision = PRECISION_AUTO};
    unsigned long number = 0;
    int           rc     = 0;
    int           c;
    opterr = 0;
    while (!rc && (c = getopt_long(argc, argv, "+:qhk:", known, NULL)) != -1) {
        switch (c) {
        case 'p':
            rc      = parse_number(optarg, "--port", 0, UINT16_MAX, &number, err);
            o->port = (uint16_t)number;
            break;
        case 'l':
            o->address = optarg;
            break;
        case 'L':
            o->library = optarg;
            break;
        case 'm':
            o->model = optarg;
            break;
        case 'k':
            rc   = parse_number(optarg, "-k", 1, ROUTES_MAX_K, &number, err);
            o->k = (size_t)number;
            break;
        case 'P':
            if (!precision_of(optarg, &o->precision))
                rc = err_set(err, ERR_USAGE, "--precision takes auto, f32, bf16 or int8, not %s",
                             optarg);
            break;
        case 'j':
            o->json = true;
            break;
        case 'q':
            o->quiet = true;
            break;
        case 'h':
            o->help = true;
            return 0;
        case ':':
            return err_set(err, ERR_USAGE, "%s needs a value", argv[optind - 1]);
        default:
            return err_set(err, ERR_USAGE, "unknown option: %s", argv[optind - 1]);
        }
    }
    if (!rc && optind < argc)
        rc = err_set(err, ERR_USAGE, "unexpected argument: %s", argv[optind]);
    return rc;
}

static int open_service(const struct options *o, struct service *service, struct err *err)
{
    char *fallback = NULL;
    int   rc       = o->library ? 0 : library_default_dir(&fallback, err);
    if (!rc)
        rc = library_open(o->library ? o->library : fallback, LIBRARY_EXISTING, &service->lib, err);
    free(fallback);
    if (!rc)
        rc = library_open_encoder(service->lib, o->model, o->precision, &service->enc, err);
    if (!rc)
        rc = encoder_scratch_new(service->enc, QUERY_THREADS, &service->scratch, err);
    if (rc)
        return rc;
    service->vector = mem_array((size_t)encoder_info(service->enc)->dim, sizeof(float));
    return service->vector ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

static void close_service(struct service *service)
{
    free(service->vector);
    encoder_scratch_free(service->scratch);
    encoder_close(service->enc);
    library_close(service->lib);
}

static int serve(const struct options *o, struct err *err)
{
    struct service service = {.default_k = o->k};
    struct server *server  = NULL;
    sigset_t       stops;
    int            which;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    /* Before any thread starts, so that only sigwait sees them. */
    pthread_sigmask(SIG_BLOCK, &stops, NULL);
    signal(SIGPIPE, SIG_IGN);
    int rc = open_service(o, &service, err);
    if (!rc)
        rc = server_start(o->address, o->port, routes_handle, &service, &server, err);
    if (!rc) {
        bool v6 = strchr(o->address, ':') != NULL;
        printf(o->json ? "{\"url\":\"http://%s%s%s:%u\"}\n" : "http://%s%s%s:%u\n", v6 ? "[" : "",
               o->address, v6 ? "]" : "", server_port(server));
        fflush(stdout);
        if (!o->quiet)
            fprintf(stderr, "osprey: serving %s; Ctrl-C stops\n", library_dir(service.lib));
        while (sigwait(&stops, &which))
            ;
    }
    server_stop(server);
    close_service(&service);
    return rc;
}

int main(int argc, char **argv)
{
    struct options options;
    struct err     err = ERR_INIT;
    int            rc  = parse_options(argc, argv, &options, &err);
    if (!rc && options.help) {
        fputs(help, stdout);
        return EXIT_OK;
    }
    if (!rc)
        rc = serve(&options, &err);
    if (!rc)
        return EXIT_OK;
    fprintf(stderr, "osprey serve: %s\n", err.msg);
    return rc == ERR_USAGE ? EXIT_WRONG_USAGE : EXIT_FAILED;
}
