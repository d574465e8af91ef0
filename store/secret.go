package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"sprout"
)

// A Key seals secrets at rest by AES-256-GCM (NIST SP 800-38D). Its zero value
// seals nothing. It prints as a word, never as its bytes.
type Key struct{ aead cipher.AEAD }

func (Key) String() string   { return "store.Key" }
func (Key) GoString() string { return "store.Key" }

// NewKey makes a key of 32 bytes.
func NewKey(raw []byte) (Key, error) {
	if len(raw) != 32 {
		return Key{}, sprout.Errorf(sprout.Invalid, "cannot use a key of %d bytes: it must have 32", len(raw))
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return Key{}, fmt.Errorf("cannot use the key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return Key{}, fmt.Errorf("cannot use the key: %w", err)
	}
	return Key{aead}, nil
}

// OpenKey reads the key from a file that holds 32 bytes in base64 and that
// only its owner may read. A missing file is made with a fresh key.
func OpenKey(path string) (Key, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if text, err = makeKey(path); err != nil {
			return Key{}, err
		}
	} else if err != nil {
		return Key{}, fmt.Errorf("cannot read the key of secrets: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return Key{}, fmt.Errorf("cannot read the key of secrets: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Key{}, sprout.Errorf(sprout.Invalid, "cannot use the key in %s: others may read it (mode %o)", path, info.Mode().Perm()).WithRemedy("chmod 600 %s", path)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return Key{}, sprout.Errorf(sprout.Invalid, "cannot use the key in %s: it is not base64", path)
	}
	return NewKey(raw)
}

func makeKey(path string) ([]byte, error) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	text := []byte(base64.StdEncoding.EncodeToString(raw) + "\n")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot make the key of secrets: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("cannot write the key of secrets: %w", err)
	}
	return text, nil
}

// Seal encrypts secret for the owner: it opens only for the same one.
func (k Key) Seal(owner string, secret []byte) ([]byte, error) {
	if k.aead == nil {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot keep a secret: the control plane has no key")
	}
	nonce := make([]byte, k.aead.NonceSize())
	_, _ = rand.Read(nonce)
	return k.aead.Seal(nonce, nonce, secret, []byte(owner)), nil
}

// Open decrypts what Seal made for the owner.
func (k Key) Open(owner string, sealed []byte) ([]byte, error) {
	if k.aead == nil {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot open a secret: the control plane has no key")
	}
	if len(sealed) < k.aead.NonceSize() {
		return nil, errors.New("cannot open a secret: it is cut short")
	}
	n := k.aead.NonceSize()
	secret, err := k.aead.Open(nil, sealed[:n], sealed[n:], []byte(owner))
	if err != nil {
		return nil, errors.New("cannot open a secret: it was sealed with another key or for another owner")
	}
	return secret, nil
}

// sealFor seals secret at rest to the agent with the curve key.
func (s *Store) sealFor(_ context.Context, machine sprout.MachineID, sealed []byte, sealKey string) ([]byte, error) {
	if len(sealed) == 0 || sealKey == "" || s.config.SealFor == nil {
		return nil, nil
	}
	secret, err := s.config.Key.Open(string(machine), sealed)
	if err != nil {
		return nil, err
	}
	out, err := s.config.SealFor(sealKey, secret)
	if err != nil {
		return nil, fmt.Errorf("cannot seal the BMC password of %s to its site's agent: %w", machine, err)
	}
	return out, nil
}
