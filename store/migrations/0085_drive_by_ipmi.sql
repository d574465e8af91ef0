-- A BMC may speak IPMI.
-- +goose Up
ALTER TABLE bmc
    DROP CONSTRAINT bmc_driver_check,
    ADD CONSTRAINT bmc_driver_check CHECK (driver IN ('redfish', 'ipmi', 'manual'));
