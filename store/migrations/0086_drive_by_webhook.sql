-- Power may be switched by a program of the operator's.
-- +goose Up
ALTER TABLE bmc
    DROP CONSTRAINT bmc_driver_check,
    ADD CONSTRAINT bmc_driver_check CHECK (driver IN ('redfish', 'ipmi', 'webhook', 'manual'));
