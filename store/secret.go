package store

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode"

	"sprout"
)

// A Key seals secrets at rest by AES-256-GCM (NIST SP 800-38D). It is a list of
// keys: the first seals, all open, so that keys can be changed while secrets of
// before remain. Its zero value seals nothing. It prints as a word, never as its
// bytes.
type Key struct{ list []oneKey }

// IsZero tells whether there is no key.
func (k Key) IsZero() bool { return len(k.list) == 0 }

func (Key) String() string   { return "store.Key" }
func (Key) GoString() string { return "store.Key" }

// oneKey seals, and marks what it sealed with its name.
type oneKey struct {
	mark string // begins what it sealed
	aead cipher.AEAD
}

// markLength is that of "k1" and four bytes of the key's SHA-256.
const markLength = 6

// NewKey makes a key of 32 bytes, or of several with that of now first.
func NewKey(raw ...[]byte) (Key, error) {
	var k Key
	for _, r := range raw {
		if len(r) != 32 {
			return Key{}, sprout.Errorf(sprout.Invalid, "cannot use a key of %d bytes: it must have 32", len(r))
		}
		block, err := aes.NewCipher(r)
		if err != nil {
			return Key{}, fmt.Errorf("cannot use the key: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return Key{}, fmt.Errorf("cannot use the key: %w", err)
		}
		sum := sha256.Sum256(r)
		k.list = append(k.list, oneKey{"k1" + string(sum[:markLength-2]), aead})
	}
	return k, nil
}

// ParseKey reads keys in base64, a line or a comma between.
func ParseKey(text string) (Key, error) {
	var all [][]byte
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		raw, err := base64.StdEncoding.DecodeString(word)
		if err != nil {
			return Key{}, sprout.Errorf(sprout.Invalid, "cannot use the key of secrets: it is not base64")
		}
		all = append(all, raw)
	}
	if len(all) == 0 {
		return Key{}, sprout.Errorf(sprout.Invalid, "cannot use the key of secrets: it is empty")
	}
	return NewKey(all...)
}

// OpenKey reads the keys from a file that holds 32 bytes in base64 a line and
// that only its owner may read. A missing file is made with a fresh key.
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
	return ParseKey(string(text))
}

// FreshKey makes a key, as a line of a key file.
func FreshKey() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	return base64.StdEncoding.EncodeToString(raw) + "\n"
}

func makeKey(path string) ([]byte, error) {
	text := []byte(FreshKey())
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
	if len(k.list) == 0 {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot keep a secret: the control plane has no key")
	}
	first := k.list[0]
	head := make([]byte, markLength+first.aead.NonceSize())
	copy(head, first.mark)
	_, _ = rand.Read(head[markLength:])
	return first.aead.Seal(head, head[markLength:], secret, []byte(owner)), nil
}

// Open decrypts what Seal made for the owner, with whichever key it was.
func (k Key) Open(owner string, sealed []byte) ([]byte, error) {
	if len(k.list) == 0 {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot open a secret: the control plane has no key")
	}
	for _, key := range k.list {
		rest, marked := bytes.CutPrefix(sealed, []byte(key.mark))
		for _, text := range [][]byte{rest, sealed} { // what was sealed before 0.2 has no mark
			if secret, err := key.open(owner, text); err == nil {
				return secret, nil
			}
			if !marked {
				break
			}
		}
	}
	return nil, errors.New("cannot open a secret: it was sealed with a key that is not here, or for another owner")
}

func (k oneKey) open(owner string, text []byte) ([]byte, error) {
	n := k.aead.NonceSize()
	if len(text) < n {
		return nil, errors.New("it is cut short")
	}
	return k.aead.Open(nil, text[:n], text[n:], []byte(owner))
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
