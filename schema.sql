-- The catalogue of a library, version 1 (PRAGMA user_version; the steps from one
-- version to the next are in storage/catalog_schema.c).
--
-- The catalogue is the truth. The vector index is derived from it: `changes`
-- is the sequence of what came or went for the active model, and the index file
-- remembers how far along it reaches.

-- One row. generation grows with every write.
CREATE TABLE state (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL DEFAULT 0
);
INSERT INTO state (id) VALUES (1);

-- state: 'active' answers searches (at most one), 'filling' is being embedded
-- beside it, 'retired' is neither: its embeddings may be dropped.
CREATE TABLE models (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    name      TEXT NOT NULL,
    dir       TEXT NOT NULL,
    hash      TEXT NOT NULL UNIQUE,
    precision TEXT NOT NULL,
    dim       INTEGER NOT NULL CHECK (dim > 0),
    state     TEXT NOT NULL DEFAULT 'retired' CHECK (state IN ('active', 'filling', 'retired'))
);
CREATE UNIQUE INDEX models_active ON models (state) WHERE state = 'active';
CREATE UNIQUE INDEX models_filling ON models (state) WHERE state = 'filling';

-- Paths are bytes, compared bytewise: BLOB throughout.
CREATE TABLE folders (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    path       BLOB NOT NULL UNIQUE,        -- absolute
    online     INTEGER NOT NULL DEFAULT 1,
    scanned_at INTEGER NOT NULL DEFAULT 0,  -- Unix seconds, UTC
    images     INTEGER NOT NULL DEFAULT 0,  -- kept by triggers: counting a million
    errors     INTEGER NOT NULL DEFAULT 0   -- rows is too slow for a status line
);

-- AUTOINCREMENT: an id is never used twice, so that a stale entry of the vector
-- index cannot come to mean another picture.
CREATE TABLE images (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    folder_id   INTEGER NOT NULL REFERENCES folders (id),
    path        BLOB NOT NULL,              -- below the folder
    size        INTEGER NOT NULL,           -- bytes
    mtime_ns    INTEGER NOT NULL,           -- nanoseconds since 1970, UTC
    hash        BLOB NOT NULL,              -- XXH3-128 of the contents
    width       INTEGER NOT NULL,           -- pixels as seen
    height      INTEGER NOT NULL,
    kind        TEXT NOT NULL,              -- 'JPEG'
    orientation INTEGER NOT NULL DEFAULT 1, -- EXIF 1..8
    taken_at    INTEGER NOT NULL DEFAULT 0, -- Unix seconds, 0: unknown
    camera      TEXT NOT NULL DEFAULT '',
    latitude    REAL,                       -- degrees, WGS 84
    longitude   REAL,
    added_at    INTEGER NOT NULL,           -- Unix seconds, UTC
    UNIQUE (folder_id, path)
);
CREATE INDEX images_hash ON images (hash);

-- A rowid table keyed by model and image in one integer (model << 40 | image),
-- so that one model's embeddings lie together in id order, and vectors of up to
-- 2,000 dimensions stay on their page (an index b-tree would spill at 500).
CREATE TABLE embeddings (
    key    INTEGER PRIMARY KEY,
    vector BLOB NOT NULL                    -- (dim) IEEE half precision, little-endian
);

CREATE TABLE captions (
    id       INTEGER PRIMARY KEY,
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    source   TEXT NOT NULL,
    text     TEXT NOT NULL
);
CREATE INDEX captions_image ON captions (image_id);

CREATE TABLE tags (
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    tag      TEXT NOT NULL,
    source   TEXT NOT NULL DEFAULT 'user',
    score    REAL,
    PRIMARY KEY (image_id, tag)
) WITHOUT ROWID;
CREATE INDEX tags_tag ON tags (tag);

-- Candidates that are no readable pictures now.
CREATE TABLE errors (
    folder_id INTEGER NOT NULL REFERENCES folders (id),
    path      BLOB NOT NULL,
    size      INTEGER NOT NULL,
    mtime_ns  INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    at        INTEGER NOT NULL,             -- Unix seconds, UTC
    PRIMARY KEY (folder_id, path)
) WITHOUT ROWID;

-- An image whose embedding of the active model came, changed or went. stamp is
-- random: an index file that reaches to seq belongs to this catalogue only if
-- it carries the same stamp. Rows before the previous index file's seq are trimmed; that
-- one stays.
CREATE TABLE changes (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    image_id INTEGER NOT NULL,
    stamp    INTEGER NOT NULL DEFAULT (random())
);

CREATE TRIGGER images_came AFTER INSERT ON images BEGIN
    UPDATE folders SET images = images + 1 WHERE id = NEW.folder_id;
END;
CREATE TRIGGER images_went AFTER DELETE ON images BEGIN
    UPDATE folders SET images = images - 1 WHERE id = OLD.folder_id;
    DELETE FROM embeddings WHERE key IN (SELECT (id << 40) | OLD.id FROM models);
END;
CREATE TRIGGER images_moved AFTER UPDATE OF folder_id ON images
    WHEN NEW.folder_id <> OLD.folder_id BEGIN
    UPDATE folders SET images = images - 1 WHERE id = OLD.folder_id;
    UPDATE folders SET images = images + 1 WHERE id = NEW.folder_id;
END;
CREATE TRIGGER errors_came AFTER INSERT ON errors BEGIN
    UPDATE folders SET errors = errors + 1 WHERE id = NEW.folder_id;
END;
CREATE TRIGGER errors_went AFTER DELETE ON errors BEGIN
    UPDATE folders SET errors = errors - 1 WHERE id = OLD.folder_id;
END;
CREATE TRIGGER errors_moved AFTER UPDATE OF folder_id ON errors
    WHEN NEW.folder_id <> OLD.folder_id BEGIN
    UPDATE folders SET errors = errors - 1 WHERE id = OLD.folder_id;
    UPDATE folders SET errors = errors + 1 WHERE id = NEW.folder_id;
END;
