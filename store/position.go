package store

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sprout"
)

// A Position says which rows of the event log a reader has seen: those that its
// snapshot of PostgreSQL sees, and, where it stopped within a part, those of the
// next snapshot up to a row. A snapshot names the transactions that were running,
// so rows of one that commits after its successors are still to be seen: nothing
// is skipped, and nobody waits for a slow transaction.
type Position struct {
	epoch string
	seen  string // pg_snapshot
	next  string // pg_snapshot; "" between parts
	xid   uint64 // last row that was seen of next
	seq   int64
}

// String writes p for ParsePosition.
func (p Position) String() string {
	if p.next == "" {
		return p.epoch + "/" + p.seen
	}
	return fmt.Sprintf("%s/%s/%s/%d.%d", p.epoch, p.seen, p.next, p.xid, p.seq)
}

// maxPosition is the longest text of a position that is read.
const maxPosition = 16 << 10

var positionText = regexp.MustCompile(`^([0-9a-f]{16})/([0-9:,]+)(?:/([0-9:,]+)/([0-9]+)\.([0-9]+))?$`)

// ParsePosition reads what String wrote; anything else is Invalid.
func ParsePosition(text string) (p Position, err error) {
	invalid := sprout.InvalidField("Last-Event-ID", "%.40q must be the id of an event", text)
	if len(text) > maxPosition {
		return p, invalid
	}
	found := positionText.FindStringSubmatch(text)
	if found == nil || !isSnapshot(found[2]) {
		return p, invalid
	}
	p = Position{epoch: found[1], seen: found[2]}
	if found[3] == "" {
		return p, nil
	}
	p.next = found[3]
	var bad, worse error
	p.xid, bad = strconv.ParseUint(found[4], 10, 64)
	p.seq, worse = strconv.ParseInt(found[5], 10, 64)
	if bad != nil || worse != nil || !isSnapshot(p.next) {
		return Position{}, invalid
	}
	return p, nil
}

// isSnapshot tells whether text is a pg_snapshot, xmin:xmax:xip,xip…: the first
// transaction that ran, the first that had not begun, and those between that ran.
func isSnapshot(text string) bool {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return false
	}
	words := parts[:2]
	if parts[2] != "" {
		words = append(words, strings.Split(parts[2], ",")...)
	}
	var numbers []uint64
	for _, word := range words {
		n, err := strconv.ParseUint(word, 10, 63)
		if err != nil {
			return false
		}
		numbers = append(numbers, n)
	}
	low, high, running := numbers[0], numbers[1], numbers[2:]
	if low == 0 || low > high || !slices.IsSorted(running) {
		return false
	}
	return len(running) == 0 || (running[0] >= low && running[len(running)-1] < high)
}
