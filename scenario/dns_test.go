package scenario_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"

	"sprout/api"
	"sprout/wan"
)

// nameServer is where the agent of a site answers.
func (s *story) nameServer(ts *testscript.TestScript, site string) netip.AddrPort {
	return netip.AddrPortFrom(agentAddress.Addr(), s.site(ts, site).config.Ports.DNS)
}

// outside runs a program that others wrote; where it is missing, the story is not
// told.
func outside(ts *testscript.TestScript, name, pkg, input string, args ...string) error {
	if _, err := exec.LookPath(name); err != nil {
		ts.Fatalf("%s is missing: apt-get install %s", name, pkg)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	var out, fault bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(input), &out, &fault
	err := c.Run()
	_, _ = fmt.Fprint(ts.Stdout(), out.String())
	_, _ = fmt.Fprint(ts.Stderr(), fault.String())
	return err
}

// tellDig asks the site's name server by dig.
func tellDig(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 1, "dig SITE ARG…")
	at := s.nameServer(ts, args[0])
	ts.Check(outside(ts, "dig", "bind9-dnsutils", "", append([]string{"@" + at.Addr().String(), "-p", strconv.Itoa(int(at.Port())), "+tries=1"}, args[1:]...)...))
}

// tellNsupdate has nsupdate change a name at the site's name server.
func tellNsupdate(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) > 2, "nsupdate SITE KEY|- COMMAND…")
	at := s.nameServer(ts, args[0])
	flags := []string{"-t", "5"}
	if args[1] != "-" {
		flags = append(flags, "-y", args[1])
	}
	text := fmt.Sprintf("server %s %d\n%s\nsend\n", at.Addr(), at.Port(), strings.Join(args[2:], " "))
	if err := outside(ts, "nsupdate", "bind9-dnsutils", text, flags...); (err == nil) == neg {
		ts.Fatalf("nsupdate %s: %v", strings.Join(args[1:], " "), err)
	}
}

// How a change is timed: over a link that is slow beside everything else.
const (
	slowLink = 400 * time.Millisecond // each way
	changes  = 7
)

// tellPrompt publishes names over a slow link and times each from the API's answer
// to the first right one of the site's name server. In the middle it takes less
// than there and back: there is nothing in between that waits for a time to come.
func tellPrompt(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "prompt SITE")
	at := s.nameServer(ts, args[0]).String()
	s.wan.Turn(wan.Weather{Delay: slowLink})
	defer s.wan.Turn(wan.Weather{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var took []time.Duration
	for i := range changes {
		var in api.CreateDNSRecord
		in.Body.Site, in.Body.Name, in.Body.Type, in.Body.Data = args[0], fmt.Sprintf("prompt-%d", i), "A", fmt.Sprintf("127.20.0.%d", i+1)
		made, err := call(ctx, s, api.DNSRecordCreate, in)
		ts.Check(err)
		began := time.Now()
		question := new(dns.Msg).SetQuestion(dns.Fqdn(made.Name), dns.TypeA)
		for tick := time.NewTicker(time.Millisecond); ; <-tick.C { // the site tells nobody when it has a name
			m, _, err := (&dns.Client{Timeout: patience}).ExchangeContext(ctx, question, at)
			ts.Check(err)
			if len(m.Answer) == 1 && dns.Field(m.Answer[0], 1) == in.Body.Data {
				tick.Stop()
				break
			}
		}
		took = append(took, time.Since(began).Round(time.Millisecond))
	}
	slices.Sort(took)
	middle := took[len(took)/2]
	ts.Logf("a change is answered after %v, over a link of %s each way", took, slowLink)
	if middle < slowLink/2 || middle >= 2*slowLink {
		ts.Fatalf("a change is answered after %s in the middle; there and back takes %s", middle, 2*slowLink)
	}
}
