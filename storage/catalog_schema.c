/* The schema's versions: steps forward, one after the other, each in the same
 * transaction as the version number that it leads to. There are no steps back;
 * a catalogue of a newer program is refused, never guessed at.
 */
#include "storage/catalog_db.h"

#include "schema_sql.inc"

/* What a re-ranker keeps of pictures, as a model's towers see them. `kept` is as
 * long as its re-ranker's `bytes`; keyed as embeddings are (reranker << 40 | image).
 * images is kept by triggers: counting rows as long as these reads them all. */
static const char regions_sql[] =
    "CREATE TABLE rerankers ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " model_id INTEGER NOT NULL REFERENCES models (id),"
    " hash TEXT NOT NULL,"
    " bytes INTEGER NOT NULL CHECK (bytes > 0),"
    " images INTEGER NOT NULL DEFAULT 0,"
    " UNIQUE (model_id, hash));"
    "CREATE TABLE regions (key INTEGER PRIMARY KEY, kept BLOB NOT NULL);"
    "CREATE TRIGGER regions_came AFTER INSERT ON regions BEGIN"
    " UPDATE rerankers SET images = images + 1 WHERE id = NEW.key >> 40; END;"
    "CREATE TRIGGER regions_went AFTER DELETE ON regions BEGIN"
    " UPDATE rerankers SET images = images - 1 WHERE id = OLD.key >> 40; END;"
    "CREATE TRIGGER images_went_regions AFTER DELETE ON images BEGIN"
    " DELETE FROM regions WHERE key IN (SELECT (id << 40) | OLD.id FROM rerankers); END;";

/* Distances, and heads that a library keeps so that it goes on working when a
 * model of the same name comes with others. */
static const char schema_heads[] =
    "ALTER TABLE models ADD COLUMN distance TEXT NOT NULL DEFAULT 'cosine'"
    " CHECK (distance IN ('cosine', 'euclidean', 'manhattan'));"
    "CREATE TABLE model_files ("
    " model_id INTEGER NOT NULL REFERENCES models (id),"
    " name     TEXT NOT NULL," /* within the model's folder */
    " data     BLOB NOT NULL,"
    " PRIMARY KEY (model_id, name));";

/* What a model's scores are measured by (library_match.h): embeddings spread over the
 * library, as it was at a change. It goes when the model is retired. */
static const char backgrounds_sql[] =
    "CREATE TABLE backgrounds ("
    " model_id INTEGER PRIMARY KEY REFERENCES models (id),"
    " seq     INTEGER NOT NULL," /* of the last change then */
    " images  INTEGER NOT NULL," /* in the library then */
    " spread  REAL NOT NULL,"    /* of reference sentences' closeness, 0: unknown */
    " vectors BLOB NOT NULL);"   /* (n, dim) IEEE half precision, little-endian */
    "CREATE TRIGGER models_went_backgrounds AFTER UPDATE OF state ON models"
    " WHEN NEW.state = 'retired' BEGIN"
    " DELETE FROM backgrounds WHERE model_id = NEW.id; END;";

/* Who says a tag or a caption: 'picture' (its own metadata), 'osprey' (what was found by
 * looking at it; score is how sure), 'user' (a person, through Osprey). Each may say the
 * same, and is taken back alone. A tag below another one is written "animal|dog". */
static const char sources_sql[] =
    "ALTER TABLE images ADD COLUMN lens TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE images ADD COLUMN rating INTEGER NOT NULL DEFAULT 0" /* stars, -1: rejected */
    " CHECK (rating BETWEEN -1 AND 5);"
    "CREATE INDEX images_taken ON images (taken_at, id);"
    "ALTER TABLE captions ADD COLUMN score REAL;"
    "CREATE TABLE tags_said ("
    " image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,"
    " tag      TEXT NOT NULL,"
    " source   TEXT NOT NULL CHECK (source IN ('picture', 'osprey', 'user')),"
    " score    REAL," /* 0 to 1, of osprey's */
    " PRIMARY KEY (image_id, tag, source)) WITHOUT ROWID;"
    "INSERT INTO tags_said SELECT image_id, tag, 'user', score FROM tags;"
    "DROP TABLE tags;"
    "ALTER TABLE tags_said RENAME TO tags;"
    "CREATE INDEX tags_tag ON tags (tag);";

/* The labels by which pictures of a model are tagged as they come (library_tagger.h), and
 * the last change that they have judged. They go when the model is retired. */
static const char taggers_sql[] =
    "CREATE TABLE taggers ("
    " model_id INTEGER PRIMARY KEY REFERENCES models (id),"
    " seq   INTEGER NOT NULL,"
    " stamp INTEGER NOT NULL,"
    " data  BLOB NOT NULL);"
    "CREATE TRIGGER models_went_taggers AFTER UPDATE OF state ON models"
    " WHEN NEW.state = 'retired' BEGIN"
    " DELETE FROM taggers WHERE model_id = NEW.id; END;";

/* What copies of pictures are told by (core/image/fingerprint.h), kept by content. */
static const char fingerprints_sql[] =
    "CREATE TABLE fingerprints ("
    " id   INTEGER PRIMARY KEY,"
    " hash BLOB NOT NULL UNIQUE,"
    " kept BLOB NOT NULL);"
    "CREATE TRIGGER images_went_fingerprints AFTER DELETE ON images BEGIN"
    " DELETE FROM fingerprints WHERE hash = OLD.hash"
    " AND NOT EXISTS (SELECT 1 FROM images WHERE hash = OLD.hash); END;"
    "CREATE TRIGGER images_changed_fingerprints AFTER UPDATE OF hash ON images"
    " WHEN NEW.hash <> OLD.hash BEGIN"
    " DELETE FROM fingerprints WHERE hash = OLD.hash"
    " AND NOT EXISTS (SELECT 1 FROM images WHERE hash = OLD.hash); END;";

/* sidecar_ns: of the sidecar that was read, 0: there was none. metadata: which version of
 * the reader of what pictures say read it; 0: none yet. */
static const char metadata_sql[] =
    "ALTER TABLE images ADD COLUMN sidecar_ns INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE images ADD COLUMN metadata INTEGER NOT NULL DEFAULT 0;";

/* The colour that stands in a picture's place until it is seen: 0x1RRGGBB, 0: unknown. */
static const char colour_sql[] = "ALTER TABLE images ADD COLUMN colour INTEGER NOT NULL DEFAULT 0;";

/* What an image has beside itself that is found by itself: the pages of a scan after
 * the first. Ids begin where those of images never come (library.h), so that embeddings,
 * changes and the vector index take both alike. */
static const char parts_sql[] =
    "CREATE TABLE parts ("
    " id       INTEGER PRIMARY KEY AUTOINCREMENT,"
    " image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,"
    " page     INTEGER NOT NULL CHECK (page > 1)," /* from 1: the image itself */
    " time_ms  INTEGER,"                           /* of a frame; NULL: no video */
    " UNIQUE (image_id, page));"
    "INSERT INTO sqlite_sequence (name, seq) VALUES ('parts', (1 << 39) - 1);"
    "CREATE TRIGGER parts_went AFTER DELETE ON parts BEGIN"
    " DELETE FROM embeddings WHERE key IN (SELECT (id << 40) | OLD.id FROM models);"
    " INSERT INTO changes (image_id) VALUES (OLD.id); END;";

/* A picture's path up to its last '/', with it; its own name, which follows; and the name
 * of the folder that was added. */
#define PICTURE_DIR  "rtrim(CAST(i.path AS TEXT), replace(CAST(i.path AS TEXT), '/', ''))"
#define PICTURE_NAME "substr(CAST(i.path AS TEXT), length(" PICTURE_DIR ") + 1)"
#define FOLDER_NAME                                                                                \
    "substr(CAST(f.path AS TEXT), length(rtrim(CAST(f.path AS TEXT),"                              \
    " replace(CAST(f.path AS TEXT), '/', ''))) + 1)"
#define STALE "INSERT OR IGNORE INTO words_stale "

/* Words to search by: names, folders, tags and captions, in one full-text table, keyed by
 * image. words_now is what it should hold. Rewriting an image's words with each of its
 * tags would be slow; triggers note the image in words_stale instead, and what reads or
 * writes many images sees to those (catalog_words.c). And indexes for filters. */
static const char words_sql[] =
    "CREATE TABLE words_stale (image_id INTEGER PRIMARY KEY);"
    "CREATE VIEW words_now (id, name, folder, tags, captions) AS SELECT i.id,"
    " " PICTURE_NAME ", " FOLDER_NAME " || '/' || " PICTURE_DIR ","
    " coalesce((SELECT group_concat(tag, char(10)) FROM"
    "  (SELECT DISTINCT tag FROM tags WHERE image_id = i.id ORDER BY tag)), ''),"
    " coalesce((SELECT group_concat(text, char(10)) FROM"
    "  (SELECT text FROM captions WHERE image_id = i.id ORDER BY id)), '')"
    " FROM images i JOIN folders f ON f.id = i.folder_id;" CATALOG_WORDS_SQL
    "CREATE TRIGGER images_came_words AFTER INSERT ON images"
    " BEGIN " STALE "VALUES (NEW.id); END;"
    "CREATE TRIGGER images_moved_words AFTER UPDATE OF folder_id, path ON images"
    " BEGIN " STALE "VALUES (NEW.id); END;"
    "CREATE TRIGGER images_went_words AFTER DELETE ON images"
    " BEGIN " STALE "VALUES (OLD.id); END;"
    "CREATE TRIGGER folders_moved_words AFTER UPDATE OF path ON folders"
    " BEGIN " STALE "SELECT id FROM images WHERE folder_id = NEW.id; END;"
    "CREATE TRIGGER tags_came_words AFTER INSERT ON tags"
    " BEGIN " STALE "VALUES (NEW.image_id); END;"
    "CREATE TRIGGER tags_changed_words AFTER UPDATE OF image_id, tag ON tags"
    " BEGIN " STALE "VALUES (OLD.image_id), (NEW.image_id); END;"
    "CREATE TRIGGER tags_went_words AFTER DELETE ON tags"
    " BEGIN " STALE "VALUES (OLD.image_id); END;"
    "CREATE TRIGGER captions_came_words AFTER INSERT ON captions"
    " BEGIN " STALE "VALUES (NEW.image_id); END;"
    "CREATE TRIGGER captions_changed_words AFTER UPDATE OF image_id, text ON captions"
    " BEGIN " STALE "VALUES (OLD.image_id), (NEW.image_id); END;"
    "CREATE TRIGGER captions_went_words AFTER DELETE ON captions"
    " BEGIN " STALE "VALUES (OLD.image_id); END;"
    "CREATE INDEX images_camera ON images (camera);"
    "CREATE INDEX images_lens ON images (lens);"
    "CREATE INDEX images_kind ON images (kind);"
    "CREATE INDEX images_rating ON images (rating) WHERE rating <> 0;"
    "CREATE INDEX images_place ON images (latitude, longitude) WHERE latitude IS NOT NULL;";
/* Of the frame of a video that stands for it; NULL: no video. */
static const char times_sql[] =
    "ALTER TABLE images ADD COLUMN time_ms INTEGER;"
    "CREATE INDEX images_time ON images (id) WHERE time_ms IS NOT NULL;";

/* What a person said of an image and took away, until it is said again: files into which
 * it was written are to lose it. An image that is forgotten takes nothing away. */
static const char taken_sql[] =
    "CREATE TABLE tags_taken ("
    " image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,"
    " tag      TEXT NOT NULL,"
    " PRIMARY KEY (image_id, tag)) WITHOUT ROWID;"
    "CREATE TRIGGER tags_came_taken AFTER INSERT ON tags WHEN NEW.source = 'user' BEGIN"
    " DELETE FROM tags_taken WHERE image_id = NEW.image_id AND tag = NEW.tag; END;"
    "CREATE TRIGGER tags_went_taken AFTER DELETE ON tags WHEN OLD.source = 'user'"
    " AND EXISTS (SELECT 1 FROM images WHERE id = OLD.image_id) BEGIN"
    " INSERT OR IGNORE INTO tags_taken VALUES (OLD.image_id, OLD.tag); END;";

static const struct catalog_step steps_known[] = {
    {1, schema_sql},  {2, schema_heads}, {3, regions_sql},      {4, backgrounds_sql},
    {5, sources_sql}, {6, taggers_sql},  {7, fingerprints_sql}, {8, metadata_sql},
    {9, colour_sql},  {10, parts_sql},   {11, words_sql},       {12, times_sql},
    {13, taken_sql},
};

static int read_version(struct catalog *cat, int64_t *version, int64_t *application,
                        int64_t *tables, struct err *err)
{
    int rc = catalog_int(cat, version, err, "PRAGMA user_version", "");
    if (rc == 0)
        rc = catalog_int(cat, application, err, "PRAGMA application_id", "");
    if (rc == 0)
        rc = catalog_int(cat, tables, err, "SELECT count(*) FROM sqlite_schema", "");
    return rc;
}

static int check_ours(struct catalog *cat, int64_t version, int64_t application, int64_t tables,
                      int newest, struct err *err)
{
    if (tables > 0 && application != CATALOG_APPLICATION_ID)
        return err_set(err, ERR_FORMAT,
                       "%s is not an Osprey catalogue: a database of another "
                       "program",
                       cat->file);
    if (version > newest)
        return err_set(err, ERR_UNSUPPORTED,
                       "catalogue %s has version %lld, this program knows up to %d: use a newer "
                       "Osprey",
                       cat->file, (long long)version, newest);
    return 0;
}

static int apply(struct catalog *cat, const struct catalog_step *step, struct err *err)
{
    char pragma[64];
    int  rc = catalog_exec(cat, step->sql, err);
    if (rc)
        return err_prefix(err, "cannot bring the catalogue to version %d", step->version);
    snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d; PRAGMA application_id = %d",
             step->version, CATALOG_APPLICATION_ID);
    return catalog_exec(cat, pragma, err);
}

int catalog_migrate(struct catalog *cat, const struct catalog_step *steps, size_t n,
                    struct err *err)
{
    int64_t version = 0, application = 0, tables = 0;
    int     newest = steps[n - 1].version;
    int     rc     = read_version(cat, &version, &application, &tables, err);
    if (rc == 0)
        rc = check_ours(cat, version, application, tables, newest, err);
    if (rc || version == newest)
        return rc;
    if (cat->read_only)
        return err_set(err, ERR_IO,
                       "catalogue %s has version %lld and must be brought to %d, but "
                       "it is read-only",
                       cat->file, (long long)version, newest);

    rc = catalog_exec(cat, "BEGIN IMMEDIATE", err);
    if (rc)
        return rc;
    /* Another process may have been faster. */
    rc = read_version(cat, &version, &application, &tables, err);
    if (rc == 0)
        rc = check_ours(cat, version, application, tables, newest, err);
    for (size_t i = 0; i < n && rc == 0; i++)
        if (steps[i].version > version)
            rc = apply(cat, &steps[i], err);
    if (rc == 0)
        return catalog_commit(cat, err);
    catalog_rollback(cat);
    return rc;
}

int catalog_migrate_to(struct catalog *cat, int version, struct err *err)
{
    _Static_assert(sizeof(steps_known) / sizeof(steps_known[0]) == CATALOG_VERSION,
                   "a step for each version");
    return catalog_migrate(cat, steps_known, (size_t)version, err);
}
