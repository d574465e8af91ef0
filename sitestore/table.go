package sitestore

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/workflow"
)

// A table is a bucket of JSON values of one type.
type table[V any] string

// The tables, and the indexes beside them.
const (
	siteTable        = table[sprout.Site]("site")                  // key: site id; one row
	subnetTable      = table[sprout.Subnet]("subnet")              // key: id
	machineTable     = table[sprout.SiteMachine]("machine")        // key: id
	reservationTable = table[sprout.Reservation]("reservation")    // key: MAC
	recordTable      = table[sprout.Record]("record")              // key: name + " " + IP, or its own
	dnsPolicyTable   = table[sprout.DNSPolicy]("dns-policy")       // key: site id; one row
	dnsKeyTable      = table[sprout.SiteDNSKey]("dns-key")         // key: name
	dhcpOptionTable  = table[sprout.SiteDHCPOption]("dhcp-option") // key: id
	refusalTable     = table[Refusal]("refusal")                   // key: kind "/" key of the change
	intentTable      = table[sprout.Intent]("intent")              // key: machine id, or MAC while it has none
	attemptTable     = table[Attempt]("attempt")                   // key: attempt id
	tokenTable       = table[Token]("token")                       // key: SHA-256 of the token, raw
	orderTable       = table[Given]("order")                       // key: attempt id
	leaseTable       = table[held]("lease")                        // key: IP NUL subnet
	runTable         = table[workflow.Run]("run")                  // key: run id; of those that have not ended
	endedTable       = table[workflow.Run]("ended")                // key: run id; what remains of the others
	factTable        = table[sprout.Fact]("fact")                  // key: seq, big endian

	metaBucket       = "meta"          // key → whatever
	dueBucket        = "due"           // time, big endian, + run id → nothing
	liveBucket       = "live"          // machine NUL run id → nothing, while the run has not ended
	machineRunBucket = "generation"    // machine → highest generation seen, big endian
	ownAttemptBucket = "owner-attempt" // intent's key NUL attempt id → nothing
)

var buckets = []string{
	string(siteTable), string(subnetTable), string(machineTable), string(reservationTable), string(recordTable),
	string(dnsPolicyTable), string(dnsKeyTable), string(dhcpOptionTable), string(refusalTable),
	string(intentTable), string(attemptTable), string(tokenTable), string(orderTable), string(leaseTable),
	string(runTable), string(endedTable), string(factTable),
	metaBucket, dueBucket, liveBucket, machineRunBucket, ownAttemptBucket,
}

// full is how full a page is left when it is split: most keys only rise.
const full = 0.9

// get returns the value of key, and whether there is one.
func (t table[V]) get(tx *bbolt.Tx, key string) (v V, ok bool, err error) {
	raw := tx.Bucket([]byte(t)).Get([]byte(key))
	if raw == nil {
		return v, false, nil
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, false, fmt.Errorf("cannot read %s %q: %w", string(t), key, err)
	}
	return v, true, nil
}

func (t table[V]) put(tx *bbolt.Tx, key string, v V) error {
	raw, err := json.Marshal(v)
	if err == nil {
		b := tx.Bucket([]byte(t))
		b.FillPercent = full
		err = b.Put([]byte(key), raw)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s %q: %w", string(t), key, err)
	}
	return nil
}

// delete removes key; a missing one is no error.
func (t table[V]) delete(tx *bbolt.Tx, key string) error {
	if err := tx.Bucket([]byte(t)).Delete([]byte(key)); err != nil {
		return fmt.Errorf("cannot delete %s %q: %w", string(t), key, err)
	}
	return nil
}

// each calls f with every row in the order of keys.
func (t table[V]) each(tx *bbolt.Tx, f func(key string, v V) error) error {
	return tx.Bucket([]byte(t)).ForEach(func(k, raw []byte) error {
		var v V
		if err := json.Unmarshal(raw, &v); err != nil {
			return fmt.Errorf("cannot read %s %q: %w", string(t), k, err)
		}
		return f(string(k), v)
	})
}

// number is n as a key that sorts as numbers do.
func number(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

func numberOf(raw []byte) uint64 {
	if len(raw) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(raw)
}
