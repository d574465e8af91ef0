package agent

import (
	"regexp"
	"sync"
	"time"

	"sprout"
)

// How much of a console comes into the timeline of one boot. A boot says thousands
// of lines, of which those matter that were its last before it fell silent, and those
// that tell of trouble.
const (
	recordLines   = 20               // that were said last before a silence
	recordSilence = 5 * time.Second  // so long it has said nothing
	recordMost    = 200              // of one boot
	recordTrouble = 60               // of these kept back for what tells of trouble
	recordRetry   = 15 * time.Second // until a BMC is asked again for its console
)

// trouble is how lines look that are told at once.
var trouble = regexp.MustCompile(`(?i)kernel panic|not syncing|\boops\b|\bBUG:|call trace|unable to mount root|\bI/O error|out of memory|hardware error|machine check|soft lockup|emergency mode|no bootable|PXE-E\d`)

// recorders bring what consoles say into the boot timeline while the site's own
// work boots the machine; what is said to somebody who types is nobody else's.
type recorders struct {
	attempt func(sprout.MachineID) (sprout.AttemptID, bool) // that is open
	tell    func(sprout.BootEvent)
	now     func() time.Time

	mu     sync.Mutex
	of     map[sprout.MachineID]*recorder
	always map[sprout.MachineID]wantedLine // consoles to keep open
}

// A recorder is of one boot.
type recorder struct {
	attempt sprout.AttemptID
	looked  time.Time // when the attempt was
	lines   lineReader
	waiting []saidLine
	at      time.Time // when something was said last
	told    int
}

// A wantedLine is a console that is to be recorded.
type wantedLine struct {
	next   time.Time // when to ask the BMC for it
	failed string    // why there was none, when it was told last
}

type saidLine struct {
	at   time.Time
	text string
}

// begin has the machine's console recorded from now until its boot is over.
func (r *recorders) begin(machine sprout.MachineID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.always[machine]; !known {
		r.always[machine] = wantedLine{next: r.now()}
	}
}

// due tells whether the BMC is to be asked for its console now.
func (r *recorders) due(machine sprout.MachineID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	wanted, known := r.always[machine]
	if !known || wanted.next.After(now) {
		return false
	}
	r.always[machine] = wantedLine{now.Add(recordRetry), wanted.failed}
	return true
}

// failed tells that there is no console to record: once for each reason, however often
// the BMC is asked.
func (r *recorders) failed(machine sprout.MachineID, err error) {
	f := failureOf(err)
	r.mu.Lock()
	wanted, known := r.always[machine]
	told := known && wanted.failed == f.Reason
	if known {
		r.always[machine] = wantedLine{wanted.next, f.Reason}
	}
	r.mu.Unlock()
	if told {
		return
	}
	r.tell(sprout.BootEvent{Machine: machine, What: sprout.SawConsole, Code: f.Code, Detail: "not recorded: " + f.Reason})
}

// heard takes what a console said.
func (r *recorders) heard(machine sprout.MachineID, data []byte, private bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	one := r.of[machine]
	if one == nil {
		one = &recorder{}
		r.of[machine] = one
	}
	if now.Sub(one.looked) >= time.Second {
		attempt, open := r.attempt(machine)
		if one.looked = now; !open {
			attempt = ""
		}
		if attempt != one.attempt {
			*one = recorder{attempt: attempt, looked: now}
		}
	}
	if private || one.attempt == "" {
		one.lines = lineReader{}
		return
	}
	one.at = now
	for _, text := range one.lines.read(data) {
		if trouble.MatchString(text) && one.told < recordMost {
			r.say(machine, one, saidLine{now, text})
			continue
		}
		one.waiting = append(one.waiting, saidLine{now, text})
		one.waiting = one.waiting[max(0, len(one.waiting)-recordLines):]
	}
}

func (r *recorders) say(machine sprout.MachineID, one *recorder, line saidLine) {
	one.told++
	r.tell(sprout.BootEvent{At: line.at, Attempt: one.attempt, Machine: machine, What: sprout.SawConsole, Detail: line.text})
}

// settle tells of the consoles that have fallen silent, and returns the machines
// whose consoles are to be kept open.
func (r *recorders) settle() map[sprout.MachineID]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for machine, one := range r.of {
		silent := now.Sub(one.at)
		if silent < recordSilence {
			continue
		}
		waiting := one.waiting
		if rest := one.lines.rest(); rest != "" { // such as "login:"
			waiting = append(waiting, saidLine{one.at, rest})
		}
		one.waiting = nil
		for _, line := range waiting {
			if one.told < recordMost-recordTrouble {
				r.say(machine, one, line)
			}
		}
		if silent > time.Hour {
			delete(r.of, machine)
		}
	}
	wanted := map[sprout.MachineID]bool{}
	for machine := range r.always {
		if _, open := r.attempt(machine); !open {
			delete(r.always, machine)
			continue
		}
		wanted[machine] = true
	}
	return wanted
}
