package main

import (
	"fmt"
	"strings"
	"testing"
)

// report is what perfdhcp says of so many packets sent and received, of either kind.
func report(rate float64, discovers, offers, requests, acks int) []byte {
	var out strings.Builder
	fmt.Fprintf(&out, "Running: perfdhcp -4\nScenario: basic.\nRate: %g 4-way exchanges/second, expected rate: 3000\n\n", rate)
	for _, kind := range []struct {
		name           string
		sent, received int
	}{{"DISCOVER-OFFER", discovers, offers}, {"REQUEST-ACK", requests, acks}} {
		fmt.Fprintf(&out, "***Statistics for: %s***\nsent packets: %d\nreceived packets: %d\ndrops: %d\n\n", kind.name, kind.sent, kind.received, kind.sent-kind.received)
	}
	return []byte(out.String())
}

// A server that drops what it is asked costs nothing and answers at once.
func TestLossIsNoResult(t *testing.T) {
	for name, c := range map[string]struct {
		report []byte
		says   string
	}{
		"nothing lost":      {report(2990, 30000, 30000, 30000, 30000), ""},
		"next to nothing":   {report(2990, 30000, 29990, 29990, 29800), ""},
		"offers lost":       {report(2900, 30000, 29400, 29400, 29400), "2.00 %"},
		"acknowledgements":  {report(2900, 30000, 30000, 30000, 29400), "2.00 %"},
		"nothing completed": {report(0, 30000, 0, 0, 0), "no exchange"},
	} {
		trial, err := read(c.report)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		err = trial.sound()
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if _, err := read([]byte("perfdhcp: cannot bind\n")); err == nil {
		t.Error("a report without numbers was read")
	}
}
