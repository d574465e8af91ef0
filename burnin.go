package sprout

import "time"

// TestsDone is what earlier boots of an attempt did of its order to test. The site's
// agent keeps it, so that hours of testing outlive a machine that restarts.
type TestsDone struct {
	Results []TestResult `json:"results,omitempty"`
	Marks   []TestMark   `json:"marks,omitempty"`
}

// A TestMark is how far a test is on a device, in the test's own words: it gets them
// back when it goes on after a restart.
type TestMark struct {
	Test   string `json:"test"`
	Device string `json:"device"`
	Serial string `json:"serial,omitempty"`
	Mark   string `json:"mark"` // at most MostMark bytes; people are shown the first line
}

// MostMark bounds what a test may say of how far it is, in bytes.
const MostMark = 4 << 10

// mostMarks bounds of how many tests on devices an agent keeps how far they are.
const mostMarks = 4096

// Add takes what a ramdisk has reported: newer words replace older ones, and what has
// ended is no more under way.
func (d *TestsDone) Add(results []TestResult, marks []TestMark) {
	for _, m := range marks {
		if at := d.mark(m.Test, m.Device, m.Serial); at != nil {
			*at = m
		} else if len(d.Marks) < mostMarks {
			d.Marks = append(d.Marks, m)
		}
	}
	for _, r := range results {
		if r.Outcome == Passed {
			r.Output = "" // what failed is worth the room
		}
		if _, known := d.Result(r.Test, r.Device, r.Serial); !known && len(d.Results) < mostMarks {
			d.Results = append(d.Results, r)
		}
	}
}

// Result is what a test found on a device before the machine restarted.
func (d *TestsDone) Result(test, device, serial string) (TestResult, bool) {
	if d != nil {
		for _, r := range d.Results {
			if r.Test == test && sameDevice(r.Device, r.Serial, device, serial) {
				return r, true
			}
		}
	}
	return TestResult{}, false
}

// Mark is how far a test was on a device before the machine restarted; "": nothing
// is known.
func (d *TestsDone) Mark(test, device, serial string) string {
	if at := d.mark(test, device, serial); at != nil {
		return at.Mark
	}
	return ""
}

func (d *TestsDone) mark(test, device, serial string) *TestMark {
	if d == nil {
		return nil
	}
	for i := range d.Marks {
		if m := &d.Marks[i]; m.Test == test && sameDevice(m.Device, m.Serial, device, serial) {
			return m
		}
	}
	return nil
}

// sameDevice goes by serial number where there is one: the kernel may call a disk by
// another name after a restart.
func sameDevice(device, serial, otherDevice, otherSerial string) bool {
	return serial == otherSerial && (serial != "" || device == otherDevice)
}

// RestartsTest is the name of the result that says how often a machine restarted
// while it was tested.
const RestartsTest = "restarts"

// A Restart is one that nobody asked Sprout for.
type Restart struct {
	At  time.Time `json:"at"`
	How string    `json:"how"` // "its BMC said off"
}
