-- A token is good for several sites, and may have other roles at others: sites
-- NULL with site NULL is every site. The first administrator's token is told from
-- those that people made.
-- +goose Up
ALTER TABLE token ADD COLUMN sites text[];
ALTER TABLE token ADD COLUMN grants jsonb NOT NULL DEFAULT '[]';
ALTER TABLE token ADD COLUMN first boolean NOT NULL DEFAULT false;
UPDATE token SET first = true WHERE name = 'admin' AND role = 'admin' AND site IS NULL AND id = (SELECT min(id) FROM token);
