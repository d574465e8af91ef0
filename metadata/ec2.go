package metadata

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// versions are those of EC2's that are answered, all alike: cloud-init asks for
// them, and takes the newest that is there.
var versions = []string{"2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest"}

func isVersion(s string) bool { return slices.Contains(versions, s) }

// ec2 answers below a version: values, and for what ends in a slash the names of
// what is below it, one a line ("Instance metadata categories", EC2 User Guide).
func (i Instance) ec2(path string) (string, error) {
	switch path {
	case "":
		return "meta-data/\nuser-data\nvendor-data", nil
	case "user-data":
		return i.user(), nil
	case "vendor-data":
		vendor, err := i.vendor()
		if err != nil {
			return "", err
		}
		return keeping(vendor)
	}
	name, ok := strings.CutPrefix(path, "meta-data")
	if !ok || name != "" && name[0] != '/' {
		return "", nothing(path)
	}
	name = strings.TrimPrefix(name, "/")
	values := i.values()
	if v, ok := values[name]; ok {
		return v, nil
	}
	if list := below(values, name); len(list) > 0 {
		return strings.Join(list, "\n"), nil
	}
	return "", nothing(path)
}

// values are all that the instance has, by their paths.
func (i Instance) values() map[string]string {
	short, _, _ := strings.Cut(i.Hostname, ".")
	v := map[string]string{"instance-id": i.ID, "local-hostname": i.Hostname, "hostname": short}
	if ip := i.first(netip.Addr.Is4); ip.IsValid() {
		v["local-ipv4"] = ip.String()
	}
	if ip := i.first(netip.Addr.Is6); ip.IsValid() {
		v["ipv6"] = ip.String()
	}
	for n, key := range i.SSHKeys {
		v["public-keys/"+strconv.Itoa(n)+"/openssh-key"] = key
	}
	for _, l := range i.Links {
		if l.MAC == "" {
			continue
		}
		if v["mac"] == "" {
			v["mac"] = l.MAC
		}
		v["network/interfaces/macs/"+l.MAC+"/mac"] = l.MAC
	}
	return v
}

// below lists a directory: what is one itself ends in a slash, and a key has its
// name beside its number, as "0=key-0".
func below(values map[string]string, dir string) (list []string) {
	if dir != "" && !strings.HasSuffix(dir, "/") {
		dir += "/"
	}
	for path := range values {
		rest, ok := strings.CutPrefix(path, dir)
		if !ok {
			continue
		}
		name, _, deeper := strings.Cut(rest, "/")
		switch {
		case dir == "public-keys/":
			name += "=key-" + name
		case deeper:
			name += "/"
		}
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}
