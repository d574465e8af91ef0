package trust

import (
	"crypto/rand"
	"crypto/tls"
	"math/big"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"sprout"
)

const (
	// issuedLife is that of a server's certificate; it is renewed when a third
	// of it is left.
	issuedLife = 90 * 24 * time.Hour
	// mostNames bounds a certificate: addresses are added as they are used.
	mostNames = 64
)

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil { // never since Go 1.24
		panic(err)
	}
	return n
}

// An Issuer shows a certificate of the authority that is always good: it makes
// a new one in time, while connections come, so that nothing is restarted and
// no key is written anywhere.
type Issuer struct {
	Authority Authority
	Now       func() time.Time

	mu    sync.Mutex
	names []string
	held  *tls.Certificate
}

// NewIssuer makes an issuer for a server that answers at names, and at whatever
// address of its own a connection comes to.
func NewIssuer(a Authority, names []string) *Issuer {
	return &Issuer{Authority: a, Now: time.Now, names: slices.Clone(names)}
}

// Certificate is for tls.Config.GetCertificate.
func (i *Issuer) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.Now()
	fresh := i.held != nil && now.Before(i.held.Leaf.NotAfter.Add(-issuedLife/3))
	if at, ok := localAddress(hello); ok && !slices.Contains(i.names, at) && len(i.names) < mostNames {
		i.names, fresh = append(i.names, at), false
	}
	if fresh {
		return i.held, nil
	}
	made, err := i.Authority.Issue(i.names, now, issuedLife)
	if err != nil {
		return nil, err
	}
	i.held = &made
	return i.held, nil
}

// localAddress is the address of ours that a connection came to.
func localAddress(hello *tls.ClientHelloInfo) (string, bool) {
	if hello == nil || hello.Conn == nil {
		return "", false
	}
	at, ok := hello.Conn.LocalAddr().(*net.TCPAddr)
	if !ok {
		return "", false
	}
	return at.AddrPort().Addr().Unmap().WithZone("").String(), true
}

// Files shows the certificate of two files, and reads them again once they
// change: whoever renews them needs to tell nobody.
type Files struct {
	certificate, key string

	mu   sync.Mutex
	read time.Time // when the certificate that is held was written
	held *tls.Certificate
}

// OpenFiles reads the files, which must fit.
func OpenFiles(certificate, key string) (*Files, error) {
	f := &Files{certificate: certificate, key: key}
	_, err := f.Certificate(nil)
	return f, err
}

// Certificate is for tls.Config.GetCertificate. While the files do not fit,
// which they may not while they are being replaced, it is the one before.
func (f *Files) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.certificate)
	if err == nil && f.held != nil && info.ModTime().Equal(f.read) {
		return f.held, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(f.certificate, f.key)
	}
	switch {
	case err == nil:
		f.held, f.read = &pair, info.ModTime()
	case f.held == nil:
		return nil, sprout.InvalidField("tls", "cannot use the certificate: %v", err)
	}
	return f.held, nil
}
