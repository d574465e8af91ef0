package dns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// The kinds of signed zones (RFC 4034, RFC 3658).
const (
	DS     Kind = 43
	RRSIG  Kind = 46
	NSEC   Kind = 47
	DNSKEY Kind = 48
)

// SigningAlgorithm is what zones are signed with: ECDSA P-256 with SHA-256 (RFC
// 6605). It is short, quick, and every validator must know it (RFC 8624).
const SigningAlgorithm = "ecdsap256sha256"

const (
	algorithm13 = 13
	digest2     = 2   // SHA-256 (RFC 4509)
	keyFlags    = 257 // of a zone, and an entry point: one key signs all
	keyProtocol = 3
)

// A SigningKey signs zones. It has the place of the zone-signing and of the
// key-signing key (RFC 6781 section 3.1).
type SigningKey struct {
	Data    string // of its DNSKEY record
	Tag     uint16
	private *ecdsa.PrivateKey
}

// NewSigningSecret makes the secret of a signing key: base64.
func NewSigningSecret() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", fmt.Errorf("cannot make a signing key: %w", err)
	}
	raw, err := key.Bytes()
	return base64.StdEncoding.EncodeToString(raw), err
}

// ReadSigningKey reads the secret of a signing key.
func ReadSigningKey(secret string) (SigningKey, error) {
	raw, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		return SigningKey{}, fmt.Errorf("cannot read a signing key: %w", err)
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	if err != nil {
		return SigningKey{}, fmt.Errorf("cannot read a signing key: %w", err)
	}
	point, err := private.PublicKey.Bytes() // 4, X, Y
	if err != nil {
		return SigningKey{}, fmt.Errorf("cannot read a signing key: %w", err)
	}
	data := append(binary.BigEndian.AppendUint16(nil, keyFlags), keyProtocol, algorithm13)
	data = append(data, point[1:]...)
	return SigningKey{Data: string(data), Tag: keyTag(data), private: private}, nil
}

// keyTag is RFC 4034's, appendix B.
func keyTag(data []byte) uint16 {
	var sum uint32
	for i, b := range data {
		sum += uint32(b) << (8 * (1 - i%2))
	}
	return uint16(sum + sum>>16&0xffff)
}

// Sign signs as RFC 6605 section 4 has it.
func (k SigningKey) Sign(data []byte) ([]byte, error) {
	sum := sha256.Sum256(data)
	r, s, err := ecdsa.Sign(rand.Reader, k.private, sum[:])
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature, nil
}

// DS is the data of the record by which the parent of a zone vouches for the key
// (RFC 4034 section 5.1). zone is on the wire.
func (k SigningKey) DS(zone string) []byte {
	sum := sha256.Sum256([]byte(zone + k.Data))
	return append(append(binary.BigEndian.AppendUint16(nil, k.Tag), algorithm13, digest2), sum[:]...)
}

// DNSKEY is the data of the key's record as zone files have it.
func (k SigningKey) DNSKEY() string {
	return fmt.Sprintf("%d %d %d %s", keyFlags, keyProtocol, algorithm13, base64.StdEncoding.EncodeToString([]byte(k.Data[4:])))
}

// ReadDNSKEY reads what DNSKEY wrote: a key that vouches and does not sign.
func ReadDNSKEY(text string) (SigningKey, error) {
	fields := strings.Fields(text)
	if len(fields) != 4 || strings.Join(fields[:3], " ") != fmt.Sprintf("%d %d %d", keyFlags, keyProtocol, algorithm13) {
		return SigningKey{}, fmt.Errorf("cannot read the key %q", text)
	}
	point, err := base64.StdEncoding.DecodeString(fields[3])
	if err != nil || len(point) != 64 {
		return SigningKey{}, fmt.Errorf("cannot read the key %q", text)
	}
	data := append(append(binary.BigEndian.AppendUint16(nil, keyFlags), keyProtocol, algorithm13), point...)
	return SigningKey{Data: string(data), Tag: keyTag(data)}, nil
}

// DSRecord is the record that the zone's parent is given, as zone files have it.
func (k SigningKey) DSRecord(zone string) string {
	d := k.DS(Wire(zone))
	return zone + ". IN DS " + strconv.Itoa(int(k.Tag)) + " 13 2 " + strings.ToUpper(hex.EncodeToString(d[4:]))
}
