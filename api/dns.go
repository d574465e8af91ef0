package api

import "sprout"

// DNSRecordRef names a record made by hand, or by an update.
type DNSRecordRef struct {
	Record string `path:"dnsrecord" doc:"Id of a DNS record"`
}

// CreateDNSRecord is the input of DNSRecordCreate.
type CreateDNSRecord struct {
	Body struct {
		Site string `json:"site" doc:"Id, name or unique prefix of a site"`
		Name string `json:"name" maxLength:"253" doc:"Fully qualified; without a dot it is completed by the site's domain, and @ is the domain itself" example:"www"`
		Type string `json:"type" doc:"A, AAAA, CNAME, MX, PTR, SRV or TXT" example:"CNAME"`
		Data string `json:"data" maxLength:"4000" doc:"As in a zone file, with names in full: 10.20.0.7, web-01.lon1.example, 10 mail.lon1.example; a TXT's text as it is" example:"web-01.lon1.example"`
		TTL  int    `json:"ttl,omitempty" minimum:"0" maximum:"604800" doc:"Seconds that resolvers may keep it; 0: 60" example:"3600"`
	}
}

// DNSKeyRef names a key of a site.
type DNSKeyRef struct {
	Key string `path:"dnskey" doc:"SITE/NAME of a key"`
}

// CreateDNSKey is the input of DNSKeyCreate.
type CreateDNSKey struct {
	SiteRef
	Body struct {
		Name      string `json:"name" maxLength:"253" doc:"As both sides configure it" example:"ns2"`
		Algorithm string `json:"algorithm,omitempty" enum:"hmac-sha256,hmac-sha512,ecdsap256sha256" doc:"Empty: hmac-sha256. With ecdsap256sha256 the key signs the zones of the site"`
	}
}

// SetDNSPolicy is the input of DNSPolicySet; it replaces the whole.
type SetDNSPolicy struct {
	SiteRef
	Body struct {
		Transfer []string `json:"transfer,omitempty" maxItems:"64" doc:"Who may transfer zones: key:NAME, PREFIX or key:NAME@PREFIX" example:"[\"key:ns2\"]"`
		Update   []string `json:"update,omitempty" maxItems:"64" doc:"Who may update zones (RFC 2136): key:NAME or key:NAME@PREFIX" example:"[\"key:ddns\"]"`
		Notify   []string `json:"notify,omitempty" maxItems:"64" doc:"Secondaries that are told of changes: ADDRESS, ADDRESS:PORT, or key:NAME@ before it" example:"[\"key:ns2@10.20.0.2\"]"`
		Forward  []string `json:"forward,omitempty" maxItems:"64" doc:"Resolvers that hosts in the site's subnets reach through the agent; none: other names are refused" example:"[\"10.20.0.53\"]"`
	}
}

// ListDNSKeys asks for the keys of a site.
type ListDNSKeys struct {
	SiteRef
	Paging
}

// The operations on a site's DNS.
var (
	DNSRecordCreate = Op[CreateDNSRecord, sprout.Record]{
		Name: "dns record create", Method: "POST", Path: "/v1/dns/records", Role: sprout.Operator, Status: 201, Help: "Publish a DNS record at a site.",
	}
	DNSRecordList = Op[ListOfSite, Page[sprout.Record]]{
		Name: "dns record list", Method: "GET", Path: "/v1/dns/records", Role: sprout.Viewer, Help: "List the DNS records: those of machines, those made by hand, and those of updates at the site.",
	}
	DNSRecordShow = Op[DNSRecordRef, sprout.Record]{
		Name: "dns record show", Method: "GET", Path: "/v1/dns/records/{dnsrecord}", Role: sprout.Viewer, Help: "Show a DNS record.",
	}
	DNSRecordDelete = Op[DNSRecordRef, None]{
		Name: "dns record delete", Method: "DELETE", Path: "/v1/dns/records/{dnsrecord}", Role: sprout.Operator, Help: "Withdraw a DNS record made by hand.",
	}
	DNSKeyCreate = Op[CreateDNSKey, sprout.DNSKey]{
		Name: "dns key create", Method: "POST", Path: "/v1/sites/{site}/dns/keys", Role: sprout.Admin, Status: 201, Help: "Create a key of a site: of TSIG, whose secret is shown once, or one that signs the site's zones.",
	}
	DNSKeyList = Op[ListDNSKeys, Page[sprout.DNSKey]]{
		Name: "dns key list", Method: "GET", Path: "/v1/sites/{site}/dns/keys", Role: sprout.Viewer, Help: "List the keys of a site: those of TSIG, and those that sign its zones.",
	}
	DNSKeyShow = Op[DNSKeyRef, sprout.DNSKey]{
		Name: "dns key show", Method: "GET", Path: "/v1/dns/keys/{dnskey}", Role: sprout.Viewer, Help: "Show a key of a site; of one that signs zones, the DS records that their parents are given.",
	}
	DNSKeyDelete = Op[DNSKeyRef, None]{
		Name: "dns key delete", Method: "DELETE", Path: "/v1/dns/keys/{dnskey}", Role: sprout.Admin, Help: "Delete a key that the site's policy does not name. Zones that it signed are signed by it no more.",
	}
	DNSPolicyShow = Op[SiteRef, sprout.DNSPolicy]{
		Name: "dns policy show", Method: "GET", Path: "/v1/sites/{site}/dns/policy", Role: sprout.Viewer, Help: "Show who may transfer and update the zones of a site, who is told of changes, and where other names are asked for.",
	}
	DNSPolicySet = Op[SetDNSPolicy, sprout.DNSPolicy]{
		Name: "dns policy set", Method: "PUT", Path: "/v1/sites/{site}/dns/policy", Role: sprout.Admin, Help: "Say who may transfer and update the zones of a site, who is told of changes, and where other names are asked for.",
	}
)

func dnsOperations() []Operation {
	return []Operation{of(DNSRecordCreate), of(DNSRecordList), of(DNSRecordShow), of(DNSRecordDelete), of(DNSKeyCreate), of(DNSKeyList), of(DNSKeyShow), of(DNSKeyDelete), of(DNSPolicyShow), of(DNSPolicySet)}
}
