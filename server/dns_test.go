package server_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// record asks for a record at lon1.
func (p plane) record(t *testing.T, name, kind, data string) (sprout.Record, error) {
	t.Helper()
	var in api.CreateDNSRecord
	in.Body.Site, in.Body.Name, in.Body.Type, in.Body.Data = "lon1", name, kind, data
	return client.Call(t.Context(), p.admin, api.DNSRecordCreate, in)
}

func TestDNSRecordsAreChecked(t *testing.T) {
	p := run(t)
	site := must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	for _, c := range []struct {
		name, kind, data string
		field            string // "": it is made
	}{
		{"www", "CNAME", "web-01." + site.Domain, ""},
		{"www", "A", "10.0.0.1", "name"},
		{"www." + site.Domain, "CNAME", "web-02." + site.Domain, "name"},
		{"@", "MX", "10 mail." + site.Domain, ""},
		{"@", "MX", "10 mail." + site.Domain, "data"},
		{"mail", "A", "10.0.0.9", ""},
		{"mail", "A", "10.0.0.10", ""},
		{"mail", "CNAME", "www." + site.Domain, "name"},
		{"mail", "A", "10.0.0.256", "data"},
		{"www.debian.org", "A", "10.0.0.1", "name"},
		{"9.0.0.10.in-addr.arpa", "PTR", "printer." + site.Domain, ""},
		{"x", "HINFO", "a b", "type"},
	} {
		made, err := p.record(t, c.name, c.kind, c.data)
		fault := fieldOf(err)
		if (err == nil) != (c.field == "") || fault != c.field {
			t.Errorf("%s %s %s: %v, want an error of %q", c.name, c.kind, c.data, err, c.field)
		}
		if err == nil && (made.ID == "" || made.TTL != 60 || made.Source != sprout.ManualRecord) {
			t.Errorf("%s is made as %+v", c.name, made)
		}
	}
	list := must(client.List(t.Context(), p.admin, api.DNSRecordList, api.ListOfSite{}, 0))(t)
	if len(list) != 5 {
		t.Errorf("%d records are listed: %+v", len(list), list)
	}
}

// A key's secret is shown once, and a key that the policy names stays.
func TestDNSKeysAndPolicy(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	var policy api.SetDNSPolicy
	policy.Site, policy.Body.Transfer = "lon1", []string{"key:ns2"}
	if _, err := client.Call(t.Context(), p.admin, api.DNSPolicySet, policy); fieldOf(err) != "transfer" {
		t.Errorf("a policy of a key that is not there: %v", err)
	}
	var key api.CreateDNSKey
	key.Site, key.Body.Name = "lon1", "NS2."
	made := must(client.Call(t.Context(), p.admin, api.DNSKeyCreate, key))(t)
	if made.Name != "ns2" || made.Algorithm != "hmac-sha256" || len(made.Secret) != 44 {
		t.Errorf("the key is %+v", made)
	}
	keys := must(client.Call(t.Context(), p.admin, api.DNSKeyList, api.ListDNSKeys{SiteRef: api.SiteRef{Site: "lon1"}}))(t)
	if len(keys.Items) != 1 || keys.Items[0].Secret != "" {
		t.Errorf("the keys are shown as %+v", keys)
	}
	must(client.Call(t.Context(), p.admin, api.DNSPolicySet, policy))(t)
	if _, err := client.Call(t.Context(), p.admin, api.DNSKeyDelete, api.DNSKeyRef{Key: "lon1/ns2"}); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("a key that the policy names is deleted: %v", err)
	}
	policy.Body.Transfer, policy.Body.Update = nil, []string{"10.0.0.0/8"}
	if _, err := client.Call(t.Context(), p.admin, api.DNSPolicySet, policy); fieldOf(err) != "update" {
		t.Errorf("whoever forges an address may update: %v", err)
	}
	policy.Body.Update = nil
	must(client.Call(t.Context(), p.admin, api.DNSPolicySet, policy))(t)
	must(client.Call(t.Context(), p.admin, api.DNSKeyDelete, api.DNSKeyRef{Key: "lon1/ns2"}))(t)
}

// A key that signs zones shows what is public of it and nothing else, is no key of
// TSIG, and has at most one beside it.
func TestSigningKeys(t *testing.T) {
	p := run(t)
	site := must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	create := func(name string) (sprout.DNSKey, error) {
		var key api.CreateDNSKey
		key.Site, key.Body.Name, key.Body.Algorithm = "lon1", name, "ecdsap256sha256"
		return client.Call(t.Context(), p.admin, api.DNSKeyCreate, key)
	}
	made := must(create("zone-1"))(t)
	if made.Secret != "" || !strings.HasPrefix(made.DNSKEY, "257 3 13 ") {
		t.Errorf("the key is %+v", made)
	}
	shown := must(client.Call(t.Context(), p.admin, api.DNSKeyShow, api.DNSKeyRef{Key: "lon1/zone-1"}))(t)
	if shown.DNSKEY != made.DNSKEY || !slices.Equal(shown.DS, made.DS) || shown.Secret != "" {
		t.Errorf("the key is shown as %+v, and was made as %+v", shown, made)
	}
	rr, err := dns.NewRR(site.Domain + ". IN DNSKEY " + made.DNSKEY)
	if err != nil {
		t.Fatal(err)
	}
	ds := rr.(*dns.DNSKEY).ToDS(dns.SHA256)
	want := fmt.Sprintf("%s. IN DS %d 13 2 %s", site.Domain, ds.KeyTag, strings.ToUpper(ds.Digest))
	if !slices.Equal(shown.DS, []string{want}) {
		t.Errorf("the parent is given %q, and by another library it is %q", shown.DS, want)
	}
	var policy api.SetDNSPolicy
	policy.Site, policy.Body.Update = "lon1", []string{"key:zone-1"}
	if _, err := client.Call(t.Context(), p.admin, api.DNSPolicySet, policy); fieldOf(err) != "update" {
		t.Errorf("whoever shows a key that signs zones may update: %v", err)
	}
	must(create("zone-2"))(t)
	if _, err := create("zone-3"); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("a third key: %v", err)
	}
	must(client.Call(t.Context(), p.admin, api.DNSKeyDelete, api.DNSKeyRef{Key: "lon1/zone-1"}))(t)
	must(create("zone-3"))(t)
}

// fieldOf is the field that an error names.
func fieldOf(err error) string {
	var known *sprout.Error
	if errors.As(err, &known) {
		return known.Field
	}
	return ""
}
