-- +goose Up
-- What an image is the content of, and where it was fetched from.
ALTER TABLE image
    ADD COLUMN kind   text NOT NULL DEFAULT 'disk' CONSTRAINT image_kind_check CHECK (kind IN ('disk', 'rootfs')),
    ADD COLUMN source text NOT NULL DEFAULT '';
