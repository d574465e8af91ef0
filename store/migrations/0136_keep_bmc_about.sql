-- What a BMC has told of itself, and what is therefore done otherwise. It is measured
-- and no decision: the machine's revision does not rise with it.
-- +goose Up
ALTER TABLE bmc ADD COLUMN about jsonb;
DROP TRIGGER bmc_revision ON bmc;
CREATE TRIGGER bmc_revision AFTER INSERT OR DELETE OR UPDATE OF driver, url, username, system, insecure, secret ON bmc
    FOR EACH ROW EXECUTE FUNCTION raise_revision_of_machine();
