// Package trust is the certificates of an installation: an authority of its
// own, what that issues, and how others come to trust it: once by a fingerprint
// that somebody compared, from then on by its certificate. It knows nothing of
// what is said over the connections.
package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"sprout"
)

const (
	// authorityLife is that of the authority's own certificate. Who pinned it
	// must pin again after that.
	authorityLife = 20 * 365 * 24 * time.Hour
	// early is how far certificates begin before they are made, for clocks that
	// are behind.
	early = time.Hour
)

// An Authority issues the certificates of an installation. Who has its key can
// pose as the control plane, so that it is stored sealed only.
type Authority struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes an authority with a fresh key on the curve P-256 (FIPS
// 186-5).
func NewAuthority(now time.Time) (Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Authority{}, fmt.Errorf("cannot make the authority's key: %w", err)
	}
	form := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Sprout"},
		NotBefore: now.Add(-early), NotAfter: now.Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		return Authority{}, fmt.Errorf("cannot make the authority's certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(raw)
	return Authority{certificate, key}, err
}

// ReadAuthority reads what Private wrote.
func ReadAuthority(private []byte) (a Authority, err error) {
	pair, err := tls.X509KeyPair(private, private)
	if err != nil {
		return a, fmt.Errorf("cannot read the authority: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return a, fmt.Errorf("cannot read the authority: its key is a %T", pair.PrivateKey)
	}
	return Authority{pair.Leaf, key}, nil
}

// Private returns the certificate and the key as PEM, to be kept sealed.
func (a Authority) Private() ([]byte, error) {
	raw, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("cannot write the authority's key: %w", err)
	}
	return append(a.PEM(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})...), nil
}

// PEM returns the certificate, which everybody may see.
func (a Authority) PEM() []byte { return PEM(a.Certificate) }

// Issue makes a certificate for a server that answers at names, which are host
// names and IP addresses. The chain that it shows ends with the authority, so
// that who does not know that yet can ask for its fingerprint.
func (a Authority) Issue(names []string, now time.Time, life time.Duration) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cannot make a certificate's key: %w", err)
	}
	form := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "sprout server"},
		NotBefore: now.Add(-early), NotAfter: now.Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip, err := netip.ParseAddr(name); err == nil {
			form.IPAddresses = append(form.IPAddresses, ip.WithZone("").Unmap().AsSlice())
		} else {
			form.DNSNames = append(form.DNSNames, name)
		}
	}
	raw, err := x509.CreateCertificate(rand.Reader, form, a.Certificate, key.Public(), a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cannot issue a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(raw)
	return tls.Certificate{Certificate: [][]byte{raw, a.Certificate.Raw}, PrivateKey: key, Leaf: leaf}, err
}

// Fingerprint names a certificate by the SHA-256 of its DER, as openssl x509
// -fingerprint -sha256 does.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ParseFingerprint reads a fingerprint as people copy it: with or without
// sha256: before it, colons between, and in either case.
func ParseFingerprint(text string) (string, error) {
	plain := strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(text)), "sha256:"), ":", "")
	if raw, err := hex.DecodeString(plain); err != nil || len(raw) != sha256.Size {
		return "", sprout.InvalidField("fingerprint", "%q is no SHA-256 fingerprint: it must be 64 hexadecimal digits", text)
	}
	return "sha256:" + plain, nil
}

// PEM writes a certificate.
func PEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// Certificates reads all that a PEM text holds: at least one.
func Certificates(text []byte) (list []*x509.Certificate, err error) {
	for block, rest := pem.Decode(bytes.TrimSpace(text)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, sprout.Errorf(sprout.Invalid, "cannot read a certificate: %v", err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, sprout.Errorf(sprout.Invalid, "cannot find a certificate: it must be PEM, which begins -----BEGIN CERTIFICATE-----")
	}
	return list, nil
}
