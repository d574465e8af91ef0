package metadata

import (
	"testing"

	"sprout"
)

// Whatever is asked for, and whatever an operator's user data is, the answer is a
// document or one of the errors that it promises. The seeds are what cloud-init
// 22.4 asks for.
func FuzzAnswer(f *testing.F) {
	for _, path := range []string{
		"nocloud/meta-data", "nocloud/user-data", "nocloud/vendor-data", "2009-04-04/meta-data/instance-id", "2016-09-02/meta-data/",
		"latest/meta-data/public-keys/", "latest/meta-data/public-keys/0/openssh-key", "latest/dynamic/instance-identity/document", "ignition",
	} {
		f.Add(path, "#cloud-config\n{}\n")
		f.Add(path, `{"ignition":{"version":"3.4.0"}}`)
	}
	f.Fuzz(func(t *testing.T, path, user string) {
		i := full()
		i.UserData = user
		_, err := i.Answer(path)
		if kind := sprout.KindOf(err); err != nil && kind != sprout.NotFound && kind != sprout.Invalid {
			t.Errorf("%q: %v", path, err)
		}
	})
}
