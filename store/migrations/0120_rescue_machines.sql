-- A deployed machine may be in rescue: its ramdisk runs, with a shell, and its disks
-- stay as they are.
-- +goose Up
ALTER TABLE machine
    DROP CONSTRAINT machine_state_check,
    ADD CONSTRAINT machine_state_check CHECK (state IN ('discovered', 'registered', 'ready', 'allocated', 'deployed', 'rescued', 'broken', 'retired')),
    ADD COLUMN shell jsonb;
