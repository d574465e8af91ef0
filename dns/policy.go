package dns

import (
	"crypto/rand"
	"encoding/base64"
	"net/netip"
	"strings"

	"sprout"
)

// The algorithms of TSIG keys (RFC 8945 section 6), and how many octets a
// secret of each has at least.
var Algorithms = map[string]int{"hmac-sha256": 32, "hmac-sha512": 64}

// DefaultPort is where name servers listen.
const DefaultPort = 53

// maxList bounds the lists of a policy.
const maxList = 64

// ParseGrant reads an entry of an access list: key:NAME, a prefix or an
// address, or key:NAME@PREFIX for both.
func ParseGrant(text string) (key string, from netip.Prefix, err error) {
	rest := text
	if named, ok := strings.CutPrefix(text, "key:"); ok {
		key, rest, _ = strings.Cut(named, "@")
		if key = Canonical(key); CheckName("key", key) != nil {
			return "", from, sprout.Errorf(sprout.Invalid, "%q names no key: key:NAME", text)
		}
		if rest == "" {
			return key, from, nil
		}
	}
	if from, err = netip.ParsePrefix(rest); err == nil {
		return key, from.Masked(), nil
	}
	ip, err := netip.ParseAddr(rest)
	if err != nil {
		return "", from, sprout.Errorf(sprout.Invalid, "%q is none of key:NAME, PREFIX and key:NAME@PREFIX", text)
	}
	return key, netip.PrefixFrom(ip, ip.BitLen()), nil
}

// ParseSecondary reads the address of a name server, with a port where it is
// not 53, and before it the key that it is told things with: key:NAME@ADDRESS.
func ParseSecondary(text string) (key string, at netip.AddrPort, err error) {
	rest := text
	if named, ok := strings.CutPrefix(text, "key:"); ok {
		key, rest, _ = strings.Cut(named, "@")
		if key = Canonical(key); CheckName("key", key) != nil {
			return "", at, sprout.Errorf(sprout.Invalid, "%q names no key: key:NAME@ADDRESS", text)
		}
	}
	if ip, err := netip.ParseAddr(rest); err == nil {
		return key, netip.AddrPortFrom(ip, DefaultPort), nil
	}
	if at, err = netip.ParseAddrPort(rest); err != nil || at.Port() == 0 {
		return "", at, sprout.Errorf(sprout.Invalid, "%q is no address of a name server: 10.0.0.2, 10.0.0.2:5353 or key:NAME@10.0.0.2", text)
	}
	return key, at, nil
}

// CheckPolicy refuses a policy that cannot be kept. keys tells which keys the
// site has. Errors are Invalid and name the field.
func CheckPolicy(p sprout.DNSPolicy, keys func(name string) bool) error {
	named := func(field, key string) error {
		if key != "" && !keys(key) {
			return sprout.InvalidField(field, "the site has no key %q", key).WithRemedy("sprout dns key create %s --site SITE", key)
		}
		return nil
	}
	for _, list := range []struct {
		field string
		texts []string
		check func(text string) (string, error)
	}{
		{"transfer", p.Transfer, func(t string) (string, error) { key, _, err := ParseGrant(t); return key, err }},
		{"update", p.Update, checkUpdater},
		{"notify", p.Notify, func(t string) (string, error) { key, _, err := ParseSecondary(t); return key, err }},
		{"forward", p.Forward, checkForwarder},
	} {
		if len(list.texts) > maxList {
			return sprout.InvalidField(list.field, "%d entries are more than %d", len(list.texts), maxList)
		}
		for _, text := range list.texts {
			key, err := list.check(text)
			if err != nil {
				return sprout.InvalidField(list.field, "%s", err)
			}
			if err := named(list.field, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkUpdater wants a key: an address alone can be forged.
func checkUpdater(text string) (string, error) {
	key, _, err := ParseGrant(text)
	if err == nil && key == "" {
		err = sprout.Errorf(sprout.Invalid, "%q lets anybody update who forges the address: key:NAME or key:NAME@PREFIX", text)
	}
	return key, err
}

func checkForwarder(text string) (string, error) {
	key, _, err := ParseSecondary(text)
	if err == nil && key != "" {
		err = sprout.Errorf(sprout.Invalid, "%q: resolvers are asked without a key", text)
	}
	return "", err
}

// NewSecret makes the secret of a key: base64.
func NewSecret(algorithm string) (string, error) {
	if algorithm == SigningAlgorithm {
		return NewSigningSecret()
	}
	raw := make([]byte, Algorithms[algorithm])
	_, _ = rand.Read(raw) // never fails since Go 1.24
	return base64.StdEncoding.EncodeToString(raw), nil
}

// CheckKey refuses a key that cannot be used.
func CheckKey(k sprout.DNSKey) error {
	if err := CheckName("name", Canonical(k.Name)); err != nil {
		return err
	}
	if k.Algorithm == SigningAlgorithm {
		if _, err := ReadSigningKey(k.Secret); err != nil {
			return sprout.InvalidField("secret", "%w", err)
		}
		return nil
	}
	least, ok := Algorithms[k.Algorithm]
	if !ok {
		return sprout.InvalidField("algorithm", "cannot use %q: hmac-sha256, hmac-sha512 and %s are allowed", k.Algorithm, SigningAlgorithm)
	}
	if raw, err := base64.StdEncoding.DecodeString(k.Secret); err != nil || len(raw) < least/2 {
		return sprout.InvalidField("secret", "a secret is base64 of at least %d octets", least/2)
	}
	return nil
}
