package governor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/power"
	"sprout/power/governor"
)

// A scripted BMC says of its power what the script says, one line a look, and the
// last line for ever.
type scripted struct {
	bmc
	says     []power.Reading
	keeps    power.Reading // of the boot device
	in       bool          // media
	stuck    bool          // media stay as they are
	refuse   error         // of Switch
	switched []sprout.PowerState
}

func (s *scripted) Power(context.Context) (power.Reading, error) {
	is := s.says[0]
	if len(s.says) > 1 {
		s.says = s.says[1:]
	}
	return is, nil
}

func (s *scripted) Switch(_ context.Context, want sprout.PowerState) error {
	s.switched = append(s.switched, want)
	return s.refuse
}

func (s *scripted) Chosen(context.Context) (power.Reading, error) { return s.keeps, nil }
func (s *scripted) Media(context.Context) (power.Reading, error) {
	return power.Reading{Yes: s.in, Says: "Inserted"}, nil
}
func (s *scripted) Insert(context.Context, string) error { s.in = s.in || !s.stuck; return nil }
func (s *scripted) Eject(context.Context) error          { s.in = s.in && s.stuck; return nil }

var (
	on      = power.Reading{Power: sprout.PowerOn, Says: `"On"`}
	off     = power.Reading{Power: sprout.PowerOff, Says: `"Off"`}
	rising  = power.Reading{Power: sprout.PowerOff, Passing: true, Says: `"PoweringOn"`}
	falling = power.Reading{Power: sprout.PowerOn, Passing: true, Says: `"PoweringOff"`}
)

func TestPowerIsVerified(t *testing.T) {
	refused := sprout.Fail(sprout.BMCFailed, "it is on already", "409")
	for name, c := range map[string]struct {
		bmc      *scripted
		switched int
		code     sprout.Code
		words    string
	}{
		"as it is":                   {bmc: &scripted{says: []power.Reading{on}}},
		"it follows":                 {bmc: &scripted{says: []power.Reading{off, on}}, switched: 1},
		"it follows late":            {bmc: &scripted{says: []power.Reading{off, off, off, rising, on}}, switched: 1},
		"it is going off":            {bmc: &scripted{says: []power.Reading{falling, off, on}}, switched: 1},
		"it is coming up":            {bmc: &scripted{says: []power.Reading{rising, on}}},
		"another hand was first":     {bmc: &scripted{says: []power.Reading{off, on}, refuse: refused}, switched: 1},
		"it refuses":                 {bmc: &scripted{says: []power.Reading{off}, refuse: refused}, switched: 1, code: sprout.BMCFailed, words: "409"},
		"it drops the order":         {bmc: &scripted{says: []power.Reading{off}}, switched: 1, code: sprout.PowerNotChanged, words: `expected on, found "Off"`},
		"it never ends to be rising": {bmc: &scripted{says: []power.Reading{rising}}, switched: 1, code: sprout.PowerNotChanged, words: `expected on, found "PoweringOn"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settle := time.Minute // longer than any host needs for what is to succeed
			if c.code != "" {
				settle = 30 * time.Millisecond
			}
			g := governor.New(c.bmc, governor.Config{Poll: time.Millisecond, Settle: settle})
			wantFailure(t, g.Set(t.Context(), sprout.PowerOn), c.code, c.words)
			if len(c.bmc.switched) != c.switched {
				t.Errorf("it was switched %v, want %d times", c.bmc.switched, c.switched)
			}
		})
	}
}

func TestWhatIsSetIsReadBack(t *testing.T) {
	dropped := &scripted{keeps: power.Reading{Says: `target "None"`}}
	g := governor.New(dropped, governor.Config{Poll: time.Microsecond, Burst: 100})
	wantFailure(t, g.BootOnce(t.Context(), power.BootNetwork, sprout.UEFI), sprout.BMCFailed, `expected one boot from network by uefi, found target "None"`)
	dropped.keeps.Yes = true
	wantFailure(t, g.BootOnce(t.Context(), power.BootNetwork, ""), "", "")

	wantFailure(t, g.InsertMedia(t.Context(), "http://x/cd"), "", "")
	dropped.stuck = true
	wantFailure(t, g.EjectMedia(t.Context()), sprout.MediaRefused, "expected nothing in it, found Inserted")
	dropped.in = false
	wantFailure(t, g.InsertMedia(t.Context(), "http://x/cd"), sprout.MediaRefused, "expected something in it")
	if about := g.About(); about.Model != "test" {
		t.Errorf("of the BMC is known %+v", about)
	}
}

func wantFailure(t *testing.T, err error, code sprout.Code, words string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Errorf("it failed: %v", err)
		}
		return
	}
	var f *sprout.Failure
	if !errors.As(err, &f) || f.Code != code || !strings.Contains(f.Reason+" "+f.Evidence, words) {
		t.Errorf("error %+v, want %s with %q", err, code, words)
	}
}
