package provision

import (
	"fmt"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v4"

	"sprout"
)

// configDrive makes the NoCloud volume of an installed system (cloud-init,
// "NoCloud" datasource). What Sprout needs goes into vendor-data, so that the
// operator's user-data stays as it was written and wins where both speak.
func configDrive(instance, home string, in sprout.DeployWork) (sprout.ConfigDrive, error) {
	short, _, _ := strings.Cut(in.Hostname, ".")
	meta, err := document("", map[string]any{
		"instance-id": instance, "local-hostname": in.Hostname, "public-keys": in.SSHKeys,
	})
	if err != nil {
		return sprout.ConfigDrive{}, err
	}
	vendor, err := document("#cloud-config\n", map[string]any{
		"hostname": short, "fqdn": in.Hostname, "prefer_fqdn_over_hostname": false,
		"ssh_authorized_keys": in.SSHKeys,
		"phone_home": map[string]any{
			"url": home, "post": []string{"hostname", "instance_id"}, "tries": 20,
		},
	})
	if err != nil {
		return sprout.ConfigDrive{}, err
	}
	network, err := networkConfig(in.Networks)
	if err != nil {
		return sprout.ConfigDrive{}, err
	}
	user := in.UserData
	if strings.TrimSpace(user) == "" {
		user = "#cloud-config\n{}\n"
	}
	return sprout.ConfigDrive{MetaData: meta, UserData: user, VendorData: vendor, NetworkConfig: network}, nil
}

// networkConfig writes cloud-init's network-config version 2.
func networkConfig(setups []sprout.InterfaceSetup) (string, error) {
	ethernets := map[string]any{}
	for i, s := range setups {
		e := map[string]any{
			"match":     map[string]any{"macaddress": s.MAC},
			"addresses": []string{netip.PrefixFrom(s.IP, s.Prefix).String()},
		}
		if s.MTU > 0 {
			e["mtu"] = s.MTU
		}
		if s.Gateway.IsValid() {
			key := "gateway4"
			if s.Gateway.Is6() {
				key = "gateway6"
			}
			e[key] = s.Gateway.String()
		}
		names := map[string]any{}
		if len(s.DNS) > 0 {
			names["addresses"] = s.DNS
		}
		if s.Domain != "" {
			names["search"] = []string{s.Domain}
		}
		if len(names) > 0 {
			e["nameservers"] = names
		}
		ethernets[fmt.Sprintf("id%d", i)] = e
	}
	return document("", map[string]any{"version": 2, "ethernets": ethernets})
}

func document(head string, v any) (string, error) {
	raw, err := yaml.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("cannot write cloud-init data: %w", err)
	}
	return head + string(raw), nil
}
