package sitestore

import (
	"context"
	"crypto/rand"
	"fmt"

	"go.etcd.io/bbolt"
)

const duidKey = "duid"

// DUID is what the site's DHCPv6 server is known by: made at random at the first
// call, of type UUID (RFC 6355), and the same ever after. It stays with the
// site's data, not with a network card.
func (s *Store) DUID(ctx context.Context) (duid []byte, err error) {
	err = s.Update(ctx, func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte(metaBucket))
		if kept := meta.Get([]byte(duidKey)); kept != nil {
			duid = append([]byte(nil), kept...)
			return nil
		}
		var uuid [16]byte
		if _, err := rand.Read(uuid[:]); err != nil {
			return err
		}
		uuid[6], uuid[8] = uuid[6]&0x0f|0x40, uuid[8]&0x3f|0x80
		const typeUUID = 4
		duid = append([]byte{0, typeUUID}, uuid[:]...)
		return meta.Put([]byte(duidKey), duid)
	})
	if err != nil {
		return nil, fmt.Errorf("cannot keep the identifier of the DHCPv6 server: %w", err)
	}
	return duid, nil
}
