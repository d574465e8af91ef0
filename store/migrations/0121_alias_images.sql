-- Every name that means an image: its own, which stays, and aliases, which may be
-- moved to another. They are the keys of one table, so that none shadows another.
-- Own names come and go with their images, whichever version makes these.
-- Machines tell the digest of what they run, as a name may mean another image later:
-- of what was installed before this nobody knows it.
-- +goose Up
CREATE TABLE image_name (
    name   text NOT NULL CONSTRAINT image_name_pkey PRIMARY KEY,
    image  text NOT NULL CONSTRAINT image_name_image_fkey REFERENCES image (id),
    own    boolean NOT NULL DEFAULT false,
    set_by text NOT NULL DEFAULT '',
    set_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX image_name_own_key ON image_name (image) WHERE own;
CREATE INDEX image_name_image_index ON image_name (image);
INSERT INTO image_name (name, image, own, set_at) SELECT name, id, true, created_at FROM image;

-- +goose StatementBegin
CREATE FUNCTION keep_image_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO image_name (name, image, own) VALUES (NEW.name, NEW.id, true);
        RETURN NEW;
    END IF;
    DELETE FROM image_name WHERE image = OLD.id AND own;
    RETURN OLD;
END $$;
-- +goose StatementEnd
CREATE TRIGGER image_named AFTER INSERT ON image FOR EACH ROW EXECUTE FUNCTION keep_image_name();
CREATE TRIGGER image_unnamed BEFORE DELETE ON image FOR EACH ROW EXECUTE FUNCTION keep_image_name();

ALTER TABLE machine ADD COLUMN image_digest text NOT NULL DEFAULT '';
