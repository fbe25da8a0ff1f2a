/* osprey: finds pictures by what is in them. Chooses the command. */
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary; /* in the help; NULL: not listed */
} commands[] = {
    {"index", cmd_index, "add folders of pictures, or bring them up to date"},
    {"watch", cmd_watch, "keep folders up to date as they change"},
    {"search", cmd_search, "find pictures by words, pictures, or both"},
    {"similar", cmd_similar, "find pictures like a given one"},
    {"embed", cmd_embed, "print the embedding of a text or a picture"},
    {"caption", cmd_caption, "give each picture a sentence that fits it"},
    {"dupes", cmd_dupes, "find copies of pictures, and near ones"},
    {"tag", cmd_tag, "give pictures tags, by words or by examples"},
    {"export", cmd_export, "write embeddings as a NumPy array, with metadata"},
    {"import", cmd_import, "read embeddings back, or those of clip-retrieval"},
    {"status", cmd_status, "what the library holds, and which pictures are broken"},
    {"verify", cmd_verify, "check the library, repair it"},
    {"backup", cmd_backup, "copy the catalogue while others go on"},
    {"relocate", cmd_relocate, "tell the library that a folder has moved"},
    {"forget", cmd_forget, "remove a folder from the library"},
    {"eval", cmd_eval, "measure how well pictures are found"},
    {"train", cmd_train, "fit the search to your own captions"},
    {"serve", cmd_serve, "answer searches over HTTP"},
    {"model", cmd_model, "list, fetch, describe, check and measure models"},
};
#define N_COMMANDS (sizeof commands / sizeof *commands)

static void print_help(void)
{
    fputs("Osprey finds pictures by what is in them.\n"
          "\n"
          "Usage: osprey COMMAND [OPTION...] [ARGUMENT...]\n"
          "\n"
          "Commands:\n",
          stdout);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (commands[i].summary)
            printf("  %-10s %s\n", commands[i].name, commands[i].summary);
    }
    fputs("\n"
          "Options, the same for every command:\n" HELP_LIBRARY HELP_MODEL HELP_PRECISION
          "  -k N                how many results\n" HELP_OUTPUT
          "  --version           the version\n"
          "\n"
          "Exit status: 0 found or done, 1 nothing found, 2 wrong usage, 3 failed.\n"
          "\n"
          "Examples:\n"
          "  osprey index ~/Pictures\n"
          "  osprey search a dog on a beach\n"
          "  osprey COMMAND --help\n",
          stdout);
}

static int unknown_command(const char *name)
{
    const char *names[N_COMMANDS];
    size_t      n = 0;
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (commands[i].summary)
            names[n++] = commands[i].name;
    }
    const char *near = nearest_word(name, names, n);
    if (near)
        fprintf(stderr, "osprey: unknown command '%s'; did you mean '%s'?\n", name, near);
    else
        fprintf(stderr, "osprey: unknown command '%s'\n", name);
    fputs("Try `osprey --help`.\n", stderr);
    return EXIT_USAGE;
}

/* argv[at] is the command; common options before it go behind it. */
static int run_command(int argc, char **argv, int at)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(argv[at], commands[i].name) != 0)
            continue;
        char *name = argv[at];
        memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof *argv);
        argv[1] = name;
        return commands[i].run(argc - 1, argv + 1);
    }
    return unknown_command(argv[at]);
}

int main(int argc, char **argv)
{
    output_init();
    int at     = 1 + options_leading(argc, argv);
    int status = EXIT_USAGE;
    if (at < argc && argv[at][0] != '-') {
        if (strcmp(argv[at], "help") == 0 && at + 1 < argc) {
            char *help[] = {argv[0], argv[at + 1], (char[]){"--help"}, NULL};
            status       = run_command(3, help, 1);
        } else if (strcmp(argv[at], "help") == 0) {
            print_help();
            status = EXIT_FOUND;
        } else {
            status = run_command(argc, argv, at);
        }
        return output_finish(status);
    }
    if (at < argc && strcmp(argv[at], "--version") == 0) {
        puts("osprey " OSPREY_VERSION);
        return output_finish(EXIT_FOUND);
    }
    for (int i = 1; i < at; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help();
            return output_finish(EXIT_FOUND);
        }
    }
    if (at < argc)
        fprintf(stderr, "osprey: unknown option %s\n", argv[at]);
    else
        fputs("osprey: no command was given\n", stderr);
    fputs("Try `osprey --help`.\n", stderr);
    return output_finish(status);
}
