package bus

import (
	"fmt"

	"github.com/nats-io/nkeys"

	"sprout"
)

// curveKeyLength is that of a public curve key in text.
const curveKeyLength = 56

// Seal encrypts a secret so that only the bearer of the seed of sealKey (an
// NKey curve key, X…) can read it: an agent's BMC passwords. The sender's key
// is made for this one secret and stands before it.
func Seal(sealKey string, secret []byte) ([]byte, error) {
	if !nkeys.IsValidPublicCurveKey(sealKey) {
		return nil, sprout.InvalidField("sealKey", "cannot seal to %q: it must be an NKey curve key (X…)", sealKey)
	}
	sender, err := nkeys.CreateCurveKeys()
	if err != nil {
		return nil, fmt.Errorf("cannot seal a secret: %w", err)
	}
	public, err := sender.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("cannot seal a secret: %w", err)
	}
	sealed, err := sender.Seal(secret, sealKey)
	if err != nil {
		return nil, fmt.Errorf("cannot seal a secret: %w", err)
	}
	return append([]byte(public), sealed...), nil
}

// Unseal decrypts what Seal made, with the seed of the curve key.
func Unseal(seed, sealed []byte) ([]byte, error) {
	if len(sealed) <= curveKeyLength {
		return nil, sprout.Errorf(sprout.Invalid, "cannot unseal a secret: it is too short")
	}
	receiver, err := nkeys.FromCurveSeed(seed)
	if err != nil {
		return nil, fmt.Errorf("cannot unseal a secret: %w", err)
	}
	secret, err := receiver.Open(sealed[curveKeyLength:], string(sealed[:curveKeyLength]))
	if err != nil {
		return nil, sprout.Errorf(sprout.Invalid, "cannot unseal a secret: it was not sealed to this key")
	}
	return secret, nil
}
