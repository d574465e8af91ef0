package sitestore

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"time"

	"sprout"
)

// A lease is written three times: to the journal, to its table and in a fact.
// These write the JSON that encoding/json makes of it, at a tenth of its cost.

// appendKept appends a record of the journal.
func appendKept(b []byte, k *kept) []byte {
	b = appendHeldFields(append(b, '{'), &k.held)
	if k.Tell {
		b = append(b, `,"tell":true`...)
	}
	return append(b, '}')
}

// appendHeld appends a row of the table.
func appendHeld(b []byte, h *held) []byte {
	return append(appendHeldFields(append(b, '{'), h), '}')
}

// appendFact appends the fact of a lease.
func appendFact(b []byte, seq uint64, h *held) []byte {
	b = strconv.AppendUint(append(b, `{"seq":`...), seq, 10)
	b = appendTime(append(b, `,"at":`...), h.At.UTC())
	b = appendText(append(b, `,"kind":`...), string(sprout.FactLease))
	b = appendLeaseFields(append(b, `,"body":{`...), &h.Lease)
	return append(b, "}}"...)
}

func appendHeldFields(b []byte, h *held) []byte {
	b = appendLeaseFields(b, &h.Lease)
	if !h.Told.IsZero() {
		b = appendTime(append(b, `,"told":`...), h.Told)
	}
	if !h.At.IsZero() {
		b = appendTime(append(b, `,"at":`...), h.At)
	}
	return b
}

func appendLeaseFields(b []byte, l *sprout.Lease) []byte {
	b = appendText(append(b, `"site":`...), string(l.Site))
	b = appendText(append(b, `,"subnet":`...), string(l.Subnet))
	b = appendAddr(append(b, `,"ip":`...), l.IP)
	b = appendText(append(b, `,"mac":`...), l.MAC)
	if l.ClientID != "" {
		b = appendText(append(b, `,"clientId":`...), l.ClientID)
	}
	if l.Hostname != "" {
		b = appendText(append(b, `,"hostname":`...), l.Hostname)
	}
	b = appendText(append(b, `,"state":`...), l.State)
	return appendTime(append(b, `,"expiresAt":`...), l.ExpiresAt)
}

func appendAddr(b []byte, ip netip.Addr) []byte {
	if ip.Zone() != "" {
		return appendText(b, ip.String())
	}
	b = append(b, '"')
	if ip.IsValid() {
		b = ip.AppendTo(b)
	}
	return append(b, '"')
}

func appendTime(b []byte, t time.Time) []byte {
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

// appendText appends a string, by encoding/json where it has to be escaped.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			raw, _ := json.Marshal(s) // of a string there is no error
			return append(b, raw...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
