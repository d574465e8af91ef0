// Package wan is a wide-area network between sites and their control plane, for
// those who try it: TCP relays that are slow, lose connections, and can be cut
// and healed. It must not know what it carries.
package wan

import (
	"strconv"
	"strings"
	"time"

	"sprout"
)

// A Weather is how a relay carries. The zero value is ideal.
type Weather struct {
	Delay time.Duration // each way, in the mean: four fifths always, the rest exponentially distributed
	Loss  float64       // share of the reads from the near side at which the connection drops, 0 to 1
}

// Parse reads DELAY[,LOSS%], as 250ms,1%. Errors are Invalid, about the field.
func Parse(field, text string) (w Weather, err error) {
	delay, loss, lossy := strings.Cut(text, ",")
	if w.Delay, err = time.ParseDuration(delay); err != nil {
		return w, sprout.InvalidField(field, "%q must be a delay, each way, and a loss, like 250ms,1%%", text)
	}
	if lossy {
		number, percent := strings.CutSuffix(loss, "%")
		w.Loss, err = strconv.ParseFloat(number, 64)
		w.Loss /= 100
		if err != nil || !percent {
			return w, sprout.InvalidField(field, "%q must be a percentage, like 1%%", loss)
		}
	}
	return w, w.Check(field)
}

// Check refuses what no relay can do. Errors are Invalid, about the field.
func (w Weather) Check(field string) error {
	if w.Delay < 0 || w.Delay > time.Minute {
		return sprout.InvalidField(field, "a delay of %s is not from 0 to 1m", w.Delay)
	}
	if !(w.Loss >= 0 && w.Loss <= 0.5) {
		return sprout.InvalidField(field, "a loss of %g %% is not from 0 to 50 %%", 100*w.Loss)
	}
	return nil
}

func (w Weather) String() string {
	if w == (Weather{}) {
		return "ideal"
	}
	return w.Delay.String() + "," + strconv.FormatFloat(100*w.Loss, 'g', -1, 64) + "%"
}
