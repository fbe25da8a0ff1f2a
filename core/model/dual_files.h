/* The files of a model of two towers and a head, and where they lie.
 *
 * Heads are a few megabytes, towers a hundred: a folder may hold the heads alone
 * and name the towers. In config.json, or in a file towers.json beside it:
 *
 *     "osprey": {"towers": "osprey-small", "towers_hash": "0123..."}
 *     {"towers": "osprey-small", "towers_hash": "0123..."}
 *
 * towers is a plain name: of a folder beside this one, else of a model as
 * models_find knows it. towers_hash is that of its model.safetensors and
 * vocab.txt (prepared_hash_files), so that heads never run on other towers than
 * they were made for. towers.json takes no part in the model's hash: wherever
 * its five files lie, a model is the same.
 */
#ifndef OSPREY_MODEL_DUAL_FILES_H
#define OSPREY_MODEL_DUAL_FILES_H

#include "base/err.h"
#include "base/json.h"
#include "model/encoder.h"
#include "model/model_card.h"
#include "model/prepared.h"

#include <stddef.h>

/* In the order in which the model's hash takes them. */
enum dual_file { DUAL_MODEL, DUAL_HEADS, DUAL_VOCAB, DUAL_CONFIG, DUAL_PREPROCESSOR, DUAL_N_FILES };

struct dual_files {
    char *dir;                       /* of the heads */
    char *towers;                    /* the folder of model.safetensors and vocab.txt */
    char *paths[DUAL_N_FILES];       /* once dual_files_find is through */
    char  name[256];                 /* of the towers, as recorded; "" where they are in dir */
    char  towers_hash[PREPARED_HEX]; /* as recorded, else "" */
    char  languages[MODEL_CARD_LANGUAGES]; /* that the towers' card tells of */
};

/* Finds the files of the model in dir and checks the towers against the hash
 * recorded. beside: a folder beside which the towers may lie, too, or NULL. Says
 * of missing files what to do about them. */
int  dual_files_find(const char *dir, const struct jnode *config, const char *beside,
                     struct dual_files *out, struct err *err);
void dual_files_release(struct dual_files *files);

/* The towers' hash from files alone. */
int dual_files_hash_towers(const struct dual_files *files, char out[PREPARED_HEX], struct err *err);

/* What a folder needs to be this model again, given its towers: see
 * encoder_parts. towers_hash: the towers' own. */
int dual_files_parts(const struct dual_files *files, const char *towers_hash,
                     struct encoder_part **parts, size_t *n, struct err *err);

#endif
