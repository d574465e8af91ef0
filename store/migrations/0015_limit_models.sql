-- How long a step may take on a model of machines, where somebody has set that.
-- Everything else that makes a limit is worked out when work is delegated.
-- +goose Up
CREATE TABLE model_limit (
    vendor  text NOT NULL,
    model   text NOT NULL,
    step    text NOT NULL,
    seconds bigint NOT NULL CHECK (seconds > 0),
    set_by  text NOT NULL,
    set_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (vendor, model, step)
);
