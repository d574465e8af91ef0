-- A BMC that was found is compared with every machine of its site: by the system's UUID,
-- its serial number, and the host of the BMC's URL. No update of a machine costs more for
-- it but one of its inventory. What hardware says may be of any length, and what an index
-- holds may not: it has the beginning.
-- +goose Up
CREATE INDEX machine_uuid_index ON machine (site, left(lower(inventory ->> 'uuid'), 64)) WHERE inventory ->> 'uuid' <> '';
CREATE INDEX machine_serial_index ON machine (site, left(inventory ->> 'serial', 64)) WHERE inventory ->> 'serial' <> '';
CREATE INDEX bmc_host_index ON bmc (site, left(substring(url FROM '://(\[[^]]*\]|[^:/?#]*)'), 255));
