package provision

import (
	"fmt"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v4"

	"sprout"
	"sprout/netconfig"
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
	network, err := netconfig.Render(linksOf(in))
	if err != nil {
		return sprout.ConfigDrive{}, err
	}
	user := in.UserData
	if strings.TrimSpace(user) == "" {
		user = "#cloud-config\n{}\n"
	}
	return sprout.ConfigDrive{MetaData: meta, UserData: user, VendorData: vendor, NetworkConfig: network}, nil
}

// linksOf is how the installed system configures its network. Centres before 0.3
// said one address.
func linksOf(in sprout.DeployWork) []sprout.LinkSetup {
	if len(in.Links) > 0 {
		return in.Links
	}
	var links []sprout.LinkSetup
	for _, s := range in.Networks {
		l := sprout.LinkSetup{MAC: s.MAC, Addresses: []netip.Prefix{netip.PrefixFrom(s.IP, s.Prefix)}, MTU: s.MTU, DNS: s.DNS}
		if s.Gateway.IsValid() {
			l.Routes = []sprout.Route{netconfig.Default(s.Gateway)}
		}
		if s.Domain != "" {
			l.Search = []string{s.Domain}
		}
		links = append(links, l)
	}
	return links
}

func document(head string, v any) (string, error) {
	raw, err := yaml.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("cannot write cloud-init data: %w", err)
	}
	return head + string(raw), nil
}
