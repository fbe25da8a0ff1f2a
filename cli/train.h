/* What osprey train can train: each takes argv with its own name first. */
#ifndef OSPREY_CLI_TRAIN_H
#define OSPREY_CLI_TRAIN_H

int cmd_train_heads(int argc, char **argv);
int cmd_train_reranker(int argc, char **argv);

#endif
