package sprout

import "time"

// A DNSPolicy says who may do what with the zones of a site. Empty lists let
// nobody.
type DNSPolicy struct {
	Site     SiteID   `json:"site"`
	Transfer []string `json:"transfer" doc:"Who may transfer zones: key:NAME, PREFIX or key:NAME@PREFIX" example:"[\"key:ns2\"]"`
	Update   []string `json:"update" doc:"Who may update zones (RFC 2136): key:NAME or key:NAME@PREFIX" example:"[\"key:ddns\"]"`
	Notify   []string `json:"notify" doc:"Secondaries that are told of changes: ADDRESS, ADDRESS:PORT, or key:NAME before it and an @" example:"[\"key:ns2@10.0.0.2\"]"`
	Forward  []string `json:"forward" doc:"Resolvers that hosts in the site's subnets reach through the agent; none: other names are refused" example:"[\"10.20.0.53\"]"`
}

// A DNSKey is a key of a site: one of TSIG (RFC 8945), whose secret is shown once,
// or one that signs the zones (RFC 4034), whose secret nobody is shown.
type DNSKey struct {
	Site      SiteID    `json:"site"`
	Name      string    `json:"name" doc:"As both sides configure it"`
	Algorithm string    `json:"algorithm" enum:"hmac-sha256,hmac-sha512,ecdsap256sha256" doc:"Of its signatures: of messages (RFC 8945), or of zones (ecdsap256sha256, RFC 6605)"`
	Secret    string    `json:"secret,omitempty" doc:"Base64; only in the answer to the creation of a key of TSIG"`
	DNSKEY    string    `json:"dnskey,omitempty" doc:"What is public of a key that signs zones, as its DNSKEY record has it" example:"257 3 13 +5LhkWH6mT3nL54pktjePNNOiDMXTGckAo/jWeV03em9ss257ewjV6/5bKscNpDag1SMOpuWcCgi9JX3ktHT7Q=="`
	DS        []string  `json:"ds,omitempty" doc:"The records by which the parents of the site's zones vouch for them; when one key is asked for" example:"[\"lon1.example. IN DS 63347 13 2 6E1A8C0D3B7F5E2A9C4D1B8E7F6A5C3D2B1E0F9A8C7D6B5E4F3A2C1D0B9E8F7A\"]"`
	CreatedAt time.Time `json:"createdAt"`
}

// A SiteDNSKey is a key as a site gets it.
type SiteDNSKey struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	Secret    []byte `json:"secret"` // sealed to the agent's curve key
}
