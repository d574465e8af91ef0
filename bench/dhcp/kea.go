package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// The kinds of servers.
const (
	ours       = "sprout"
	kea        = "kea"
	echoServer = "echo"
)

// configureKea writes Kea's configuration, as quick as it can be had: threads as
// its manual advises for memfile, no log, no reservations to look for, no
// clean-up of the lease file, which it writes and does not sync.
func (b *bed) configureKea() (path string, err error) {
	leases := filepath.Join(b.dir, "kea.leases")
	for _, suffix := range []string{"", ".2", ".completed"} {
		if err := os.Remove(leases + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	type object = map[string]any
	config := object{"Dhcp4": object{
		"interfaces-config":      object{"interfaces": []string{device}, "dhcp-socket-type": "udp"},
		"lease-database":         object{"type": "memfile", "persist": true, "name": leases, "lfc-interval": 0},
		"multi-threading":        object{"enable-multi-threading": true, "thread-pool-size": 4, "packet-queue-size": 28},
		"reservations-in-subnet": false, "reservations-global": false,
		"valid-lifetime": 600, "renew-timer": 300, "rebind-timer": 525,
		"subnet4": []object{{
			"subnet": prefix, "pools": []object{{"pool": poolFirst + " - " + poolLast}},
			"option-data": []object{{"name": "routers", "data": serverIP}, {"name": "domain-name-servers", "data": serverIP}},
		}},
		"loggers": []object{{"name": "kea-dhcp4", "severity": "FATAL", "output_options": []object{{"output": "stderr"}}}},
	}}
	raw, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	path = filepath.Join(b.dir, "kea.json")
	return path, os.WriteFile(path, raw, 0o600)
}
