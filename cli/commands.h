/* The commands of osprey: each takes argv with its own name first and returns
 * the process's exit status. */
#ifndef OSPREY_CLI_COMMANDS_H
#define OSPREY_CLI_COMMANDS_H

int cmd_index(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_search(int argc, char **argv);
int cmd_similar(int argc, char **argv);
int cmd_embed(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_backup(int argc, char **argv);
int cmd_relocate(int argc, char **argv);
int cmd_forget(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_model(int argc, char **argv);
int cmd_tag(int argc, char **argv);
int cmd_train(int argc, char **argv);
int cmd_dupes(int argc, char **argv);
int cmd_caption(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_import(int argc, char **argv);

/* The end of each command's help. */
#define HELP_LIBRARY                                                                               \
    "  --library DIR       the library ($OSPREY_LIBRARY, else ~/.local/share/osprey/library)\n"
#define HELP_MODEL     "  --model NAME|DIR    the model (a name, or a folder when it has a '/')\n"
#define HELP_PRECISION "  --precision P       auto, f32, bf16 or int8\n"
#define HELP_OUTPUT                                                                                \
    "  --json              JSON, one object a line\n"                                              \
    "  -q, --quiet         no notes on standard error\n"                                           \
    "  -h, --help          this help\n"

#endif
