-- How many machines of its site an agent has download, and how many wait for that.
-- +goose Up
ALTER TABLE agent
    ADD COLUMN downloading bigint NOT NULL DEFAULT 0,
    ADD COLUMN waiting bigint NOT NULL DEFAULT 0;
