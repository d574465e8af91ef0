package dns

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"sprout"
)

// A Kind is the number of a type of records (RFC 1035 section 3.2.2).
type Kind uint16

// The kinds that Sprout makes itself.
const (
	A     Kind = 1
	NS    Kind = 2
	CNAME Kind = 5
	SOA   Kind = 6
	PTR   Kind = 12
	MX    Kind = 15
	TXT   Kind = 16
	AAAA  Kind = 28
	SRV   Kind = 33
)

// kinds are the types of records that may be made by hand: their numbers,
// whether their owner must be a host's name, and how their data is read. read
// returns the data as it is kept and as messages carry it.
var kinds = map[string]struct {
	Kind
	host bool
	read func(data string) (kept string, wire []byte, err error)
}{
	"A":     {A, true, readAddress(true)},
	"AAAA":  {AAAA, true, readAddress(false)},
	"CNAME": {CNAME, false, readName},
	"MX":    {MX, true, readNumbers("a preference and a host, as 10 mail.lon1.example", 1)},
	"PTR":   {PTR, false, readName},
	"SRV":   {SRV, false, readNumbers("priority, weight, port and a host, as 0 5 5060 sip.lon1.example", 3)},
	"TXT":   {TXT, false, readText},
}

// MaxTTL is a week: longer nobody should believe a record that may change.
const MaxTTL = 7 * 24 * 3600

// Check returns a record that is made by hand as it is kept: canonical, with a
// TTL. Errors are Invalid and name the field.
func Check(r sprout.Record) (sprout.Record, error) {
	r.Name, r.Type = Canonical(r.Name), strings.ToUpper(r.Type)
	kind, ok := kinds[r.Type]
	if !ok {
		return r, sprout.InvalidField("type", "cannot publish a record of type %q: A, AAAA, CNAME, MX, PTR, SRV and TXT are allowed", r.Type)
	}
	check := CheckName
	if kind.host {
		check = CheckHost
	}
	if err := check("name", r.Name); err != nil {
		return r, err
	}
	var err error
	if r.Data, _, err = kind.read(r.Data); err != nil {
		return r, err
	}
	if r.Type == "CNAME" && r.Data == r.Name {
		return r, sprout.InvalidField("data", "cannot make %s an alias of itself", r.Name)
	}
	r.TTL, err = CheckTTL(r.TTL)
	return r, err
}

// DefaultTTL is how many seconds a resolver may keep a record that names no TTL.
const DefaultTTL = 60

// CheckTTL returns the TTL that a record is published with.
func CheckTTL(ttl int) (int, error) {
	switch {
	case ttl < 0 || ttl > MaxTTL:
		return ttl, sprout.InvalidField("ttl", "cannot publish for %d seconds: 0 to %d are allowed", ttl, MaxTTL)
	case ttl == 0:
		return DefaultTTL, nil
	}
	return ttl, nil
}

// Pack returns the number of a record's type and its data as messages carry
// it. The record has passed Check.
func Pack(r sprout.Record) (Kind, []byte, error) {
	kind, ok := kinds[r.Type]
	if !ok {
		return 0, nil, sprout.InvalidField("type", "cannot pack a record of type %q", r.Type)
	}
	_, wire, err := kind.read(r.Data)
	return kind.Kind, wire, err
}

func readAddress(four bool) func(string) (string, []byte, error) {
	return func(data string) (string, []byte, error) {
		ip, err := netip.ParseAddr(data)
		if err != nil || ip.Is4() != four || ip.Zone() != "" || ip.Is4In6() {
			family := map[bool]string{true: "IPv4", false: "IPv6"}[four]
			return data, nil, sprout.InvalidField("data", "%q is no %s address", data, family)
		}
		return ip.String(), ip.AsSlice(), nil
	}
}

func readName(data string) (string, []byte, error) {
	data = Canonical(data)
	return data, []byte(Wire(data)), CheckName("data", data)
}

// readNumbers reads so many numbers of 16 bits and then a host's name.
func readNumbers(want string, numbers int) func(string) (string, []byte, error) {
	return func(data string) (string, []byte, error) {
		fields := strings.Fields(data)
		if len(fields) != numbers+1 {
			return data, nil, sprout.InvalidField("data", "cannot read %q: it must be %s", data, want)
		}
		var wire []byte
		for i := range numbers {
			n, err := strconv.ParseUint(fields[i], 10, 16)
			if err != nil {
				return data, nil, sprout.InvalidField("data", "cannot read %q: it must be %s", data, want)
			}
			wire, fields[i] = binary.BigEndian.AppendUint16(wire, uint16(n)), strconv.FormatUint(n, 10)
		}
		host := Canonical(fields[numbers])
		if err := CheckHost("data", host); err != nil {
			return data, nil, err
		}
		fields[numbers] = host
		return strings.Join(fields, " "), append(wire, Wire(host)...), nil
	}
}

// maxText is how long a TXT record may be: some keys of mail need 400 octets.
const maxText = 4000

// readText splits a text into strings of at most 255 octets (RFC 1035 section
// 3.3.14); clients join them again (RFC 7208 section 3.3).
func readText(data string) (string, []byte, error) {
	if len(data) > maxText || data == "" || !utf8.ValidString(data) {
		return data, nil, sprout.InvalidField("data", "cannot publish a text of %d octets: 1 to %d octets of UTF-8 are allowed", len(data), maxText)
	}
	var wire []byte
	for rest := data; rest != ""; {
		n := min(len(rest), 255)
		wire, rest = append(append(wire, byte(n)), rest[:n]...), rest[n:]
	}
	return data, wire, nil
}
