package builtin

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"sprout/dns/zone"
)

// RR makes an item a record of the library's.
func RR(i zone.Item) (dns.RR, error) { return record(readable(i.Owner), i.Data) }

// record makes a record of the library's, whose owner is written as name.
func record(name string, d zone.Data) (dns.RR, error) {
	wire := make([]byte, 256+len(d))
	n, err := dns.PackDomainName(name, wire, 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("cannot write the name %q: %w", name, err)
	}
	wire = append(wire[:n], d[2:]...)
	rr, _, err := dns.UnpackRR(wire, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read a record of %s: %w", name, err)
	}
	return rr, nil
}

// wireName returns a name as zones have it: on the wire, in lower case.
func wireName(name string) (string, error) {
	wire := make([]byte, 256)
	n, err := dns.PackDomainName(strings.ToLower(dns.Fqdn(name)), wire, 0, nil, false)
	if err != nil {
		return "", fmt.Errorf("cannot read the name %q: %w", name, err)
	}
	return string(wire[:n]), nil
}

// readable is a name of a zone as people write it, with the final dot.
func readable(wire string) string {
	name, _, err := dns.UnpackDomainName([]byte(wire), 0)
	if err != nil {
		return "."
	}
	return name
}
