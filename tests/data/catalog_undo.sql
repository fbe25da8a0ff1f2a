-- What takes each step of storage/catalog_schema.c back, the newest first: the tests make
-- catalogues of older versions with it. "-- N" begins what undoes version N.
-- 13
DROP TRIGGER tags_came_taken;
DROP TRIGGER tags_went_taken;
DROP TABLE tags_taken;
-- 12
DROP INDEX images_time;
ALTER TABLE images DROP COLUMN time_ms;
-- 11
DROP TRIGGER images_came_words;
DROP TRIGGER images_moved_words;
DROP TRIGGER images_went_words;
DROP TRIGGER folders_moved_words;
DROP TRIGGER tags_came_words;
DROP TRIGGER tags_changed_words;
DROP TRIGGER tags_went_words;
DROP TRIGGER captions_came_words;
DROP TRIGGER captions_changed_words;
DROP TRIGGER captions_went_words;
DROP VIEW words_now;
DROP TABLE words;
DROP TABLE words_stale;
DROP INDEX images_camera;
DROP INDEX images_lens;
DROP INDEX images_kind;
DROP INDEX images_rating;
DROP INDEX images_place;
-- 10
DROP TRIGGER parts_went;
DROP TABLE parts;
-- 9
ALTER TABLE images DROP COLUMN colour;
-- 8
ALTER TABLE images DROP COLUMN sidecar_ns;
ALTER TABLE images DROP COLUMN metadata;
-- 7
DROP TRIGGER images_went_fingerprints;
DROP TRIGGER images_changed_fingerprints;
DROP TABLE fingerprints;
-- 6
DROP TRIGGER models_went_taggers;
DROP TABLE taggers;
-- 5
DROP INDEX images_taken;
ALTER TABLE images DROP COLUMN lens;
ALTER TABLE images DROP COLUMN rating;
ALTER TABLE captions DROP COLUMN score;
CREATE TABLE tags_before (image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    tag TEXT NOT NULL, source TEXT NOT NULL DEFAULT 'user', score REAL,
    PRIMARY KEY (image_id, tag)) WITHOUT ROWID;
INSERT OR IGNORE INTO tags_before SELECT image_id, tag, source, score FROM tags;
DROP TABLE tags;
ALTER TABLE tags_before RENAME TO tags;
CREATE INDEX tags_tag ON tags (tag);
-- 4
DROP TRIGGER models_went_backgrounds;
DROP TABLE backgrounds;
-- 3
DROP TRIGGER images_went_regions;
DROP TABLE regions;
DROP TABLE rerankers;
-- 2
DROP TABLE model_files;
ALTER TABLE models DROP COLUMN distance;
