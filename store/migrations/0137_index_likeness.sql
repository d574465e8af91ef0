-- A BMC that was found is compared with every machine of its site: by the system's UUID,
-- its serial number, and the host of the BMC's URL. No update of a machine costs more for
-- it but one of its inventory.
-- +goose Up
CREATE INDEX machine_uuid_index ON machine (site, lower(inventory ->> 'uuid')) WHERE inventory ->> 'uuid' <> '';
CREATE INDEX machine_serial_index ON machine (site, (inventory ->> 'serial')) WHERE inventory ->> 'serial' <> '';
CREATE INDEX bmc_host_index ON bmc (site, substring(url FROM '://(\[[^]]*\]|[^:/?#]*)'));
