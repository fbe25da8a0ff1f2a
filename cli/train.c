/* osprey train: chooses what is trained. */
#include "cli/train.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"

#include <stdio.h>
#include <string.h>

static const char help[] = "Fits the search to your own pictures and captions.\n"
                           "\n"
                           "Usage: osprey train heads [OPTION...]\n"
                           "       osprey train reranker [OPTION...]\n"
                           "\n"
                           "  heads     projection heads between locked towers; minutes on a CPU\n"
                           "  reranker  what looks at the first results again; likewise\n"
                           "\n"
                           "`osprey train heads --help` has the options.\n";

int cmd_train(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } kinds[]      = {{"heads", cmd_train_heads}, {"reranker", cmd_train_reranker}};
    struct err err = ERR_INIT;
    int        at  = 1 + options_leading(argc, argv);
    for (int i = 1; i < at; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            return EXIT_FOUND;
        }
    }
    for (size_t i = 0; at < argc && i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(argv[at], kinds[i].name) != 0)
            continue;
        char *name = argv[at]; /* options before it go behind it */
        memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof *argv);
        argv[1] = name;
        return kinds[i].run(argc - 1, argv + 1);
    }
    if (at < argc)
        err_set(&err, ERR_USAGE,
                "train takes what is to be trained, heads or reranker, not \"%.80s\"", argv[at]);
    else
        err_set(&err, ERR_USAGE, "train takes what is to be trained: heads or reranker");
    return fail("train", &err);
}
