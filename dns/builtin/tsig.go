package builtin

import (
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// fudge is how many seconds clocks may differ (RFC 8945 section 10).
const fudge = 300

// verify checks the signature of a query, if it has one. The code is what the
// answer says where it is not good (RFC 8945 section 5.2).
func (x *exchange) verify(rules *Rules) (code uint16, err error) {
	t := x.query.IsTsig()
	if t == nil {
		return 0, nil
	}
	key, ok := rules.key(t.Hdr.Name)
	if !ok || dns.CanonicalName(t.Algorithm) != dns.Fqdn(key.Algorithm) {
		return dns.RcodeBadKey, fmt.Errorf("the site has no key %s of %s", t.Hdr.Name, t.Algorithm)
	}
	err = dns.TsigVerify(append([]byte(nil), x.wire...), key.Secret, "", false)
	switch {
	case errors.Is(err, dns.ErrTime):
		x.signs, x.mac = &key, t.MAC // the answer is signed: the client sets its clock
		return dns.RcodeBadTime, err
	case err != nil:
		return dns.RcodeBadSig, err
	}
	x.signs, x.mac, x.key = &key, t.MAC, key.Name
	return 0, nil
}

// unsigned is the answer to a query whose signature is not good.
func (x *exchange) unsigned(code uint16) *dns.Msg {
	m := refuse(x.query, dns.RcodeNotAuth)
	asked := x.query.IsTsig()
	t := &dns.TSIG{
		Hdr:       dns.RR_Header{Name: dns.Fqdn(asked.Hdr.Name), Rrtype: dns.TypeTSIG, Class: dns.ClassANY},
		Algorithm: dns.Fqdn(asked.Algorithm), TimeSigned: asked.TimeSigned, Fudge: fudge, OrigId: x.query.Id, Error: code,
	}
	if code == dns.RcodeBadTime {
		t.OtherLen, t.OtherData = 6, fmt.Sprintf("%012x", time.Now().Unix())
	}
	m.Extra = append(m.Extra, t)
	return m
}

// pack writes an answer, signed as its query was. Of several the later ones are
// signed with the one before (RFC 8945 section 5.3.1).
func (x *exchange) pack(m *dns.Msg) ([]byte, error) {
	if x.signs == nil {
		return m.Pack()
	}
	if m.IsTsig() == nil {
		m.SetTsig(dns.Fqdn(x.signs.Name), dns.Fqdn(x.signs.Algorithm), fudge, time.Now().Unix())
	}
	wire, mac, err := dns.TsigGenerate(m, x.signs.Secret, x.mac, x.sent > 0)
	if err != nil {
		return nil, fmt.Errorf("cannot sign an answer: %w", err)
	}
	x.mac = mac
	x.sent++
	return wire, nil
}
