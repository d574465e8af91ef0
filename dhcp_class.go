package sprout

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A DHCPClass tells clients of DHCP by what they say of themselves. All that is
// set must be so.
type DHCPClass struct {
	Vendor string // the vendor class begins so (option 60; of DHCPv6 16)
	User   string // a user class is this (option 77, RFC 3004; of DHCPv6 15)
	Arch   string // number of an architecture of it (option 93, RFC 4578; of DHCPv6 61)
	MAC    string // the MAC address begins so: lower case, colons
}

// A DHCPClient is what a client says of itself.
type DHCPClient struct {
	Vendors, Users []string
	Arches         []uint16
	MAC            string
}

// ParseDHCPClass reads conditions as vendor=PXEClient,arch=7. Errors are Invalid,
// of the field class.
func ParseDHCPClass(text string) (c DHCPClass, err error) {
	for _, part := range strings.Split(text, ",") {
		key, value, _ := strings.Cut(part, "=")
		to := map[string]*string{"vendor": &c.Vendor, "user": &c.User, "arch": &c.Arch, "mac": &c.MAC}[key]
		switch {
		case to == nil || value == "" || len(value) > 64:
			return c, InvalidField("class", "cannot use %q: a class is vendor=, user=, arch= or mac= and a value of at most 64 bytes, or several of these with commas", text)
		case *to != "":
			return c, InvalidField("class", "cannot use %q: it says %s twice", text, key)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }):
			return c, InvalidField("class", "cannot use %q: only visible ASCII is compared", text)
		}
		*to = value
	}
	if c.Arch != "" {
		n, err := strconv.ParseUint(c.Arch, 10, 16)
		if err != nil {
			return c, InvalidField("class", "cannot use architecture %q: a number of RFC 4578 is needed, as 7 for x86-64 UEFI", c.Arch)
		}
		c.Arch = strconv.FormatUint(n, 10)
	}
	c.MAC = strings.ToLower(strings.ReplaceAll(c.MAC, "-", ":"))
	for i, part := range strings.Split(c.MAC, ":") {
		if _, err := strconv.ParseUint(part, 16, 8); c.MAC != "" && (err != nil || len(part) != 2 || i > 5) {
			return c, InvalidField("class", "cannot use MAC prefix %q: whole bytes are needed, as 52:54:00", c.MAC)
		}
	}
	return c, nil
}

// String writes the class in the one way that it is compared by.
func (c DHCPClass) String() string {
	var parts []string
	for _, p := range [][2]string{{"arch=", c.Arch}, {"mac=", c.MAC}, {"user=", c.User}, {"vendor=", c.Vendor}} {
		if p[1] != "" {
			parts = append(parts, p[0]+p[1])
		}
	}
	return strings.Join(parts, ",")
}

// Has tells whether the client is one of the class.
func (c DHCPClass) Has(d DHCPClient) bool {
	begins := func(v string) bool { return strings.HasPrefix(v, c.Vendor) }
	arch := func(a uint16) bool { return strconv.Itoa(int(a)) == c.Arch }
	return (c.Vendor == "" || slices.ContainsFunc(d.Vendors, begins)) &&
		(c.User == "" || slices.Contains(d.Users, c.User)) &&
		(c.Arch == "" || slices.ContainsFunc(d.Arches, arch)) &&
		strings.HasPrefix(d.MAC, c.MAC)
}

// Compare sorts by how much a class asks for, then by its text: of two that a
// client is both of, the later counts.
func (c DHCPClass) Compare(other DHCPClass) int {
	return cmp.Or(cmp.Compare(c.conditions(), other.conditions()), strings.Compare(c.String(), other.String()))
}

func (c DHCPClass) conditions() (n int) {
	for _, v := range []string{c.Vendor, c.User, c.Arch, c.MAC} {
		if v != "" {
			n++
		}
	}
	return n
}
