package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/miekg/dns"

	"sprout/bench"
)

// siteDomain is that of the site's machines.
const siteDomain = "lon1.example"

// questions are what a machine asks on its way to an installed system, one after
// the other.
func (s *centred) questions() []question {
	return []question{
		{"loader by TFTP", func(boots) error { return fetchLoader(s.at(s.config.Ports.TFTP)) }},
		{"boot script", func(m boots) error { return script(s.at(s.config.Ports.HTTP), m.booting) }},
		{"loader by HTTP", func(boots) error { return getLoader(s.at(s.config.Ports.HTTP)) }},
		{"metadata", s.metadata},
		{"name", func(boots) error { return lookUp(s.at(s.config.Ports.DNS)) }},
	}
}

type question struct {
	name string
	ask  func(boots) error
}

// away is the line of a site whose centre is away: p99 of what all the answers to
// one machine take with the link cut, against p99 with the link there, in turns.
func (b *bed) away() (line bench.Line, err error) {
	ctx := context.Background()
	s, err := openSite(ctx, b.dir)
	if err != nil {
		return line, err
	}
	defer func() {
		if failed := s.close(); err == nil {
			err = failed
		}
	}()
	states := []struct {
		name string
		set  func()
	}{{"there", s.link.Heal}, {"away", s.link.Cut}}
	whole := make([][]float64, len(states))
	for turn := range b.turns + 1 {
		for i, state := range states {
			state.set()
			if err := s.connected(ctx, i == 0); err != nil {
				return line, fmt.Errorf("the agent does not notice that the centre is %s: %w", state.name, err)
			}
			p99, of, err := s.round()
			if err != nil {
				return line, fmt.Errorf("with the centre %s: %w", state.name, err)
			}
			if turn > 0 { // the first only warms up
				whole[i] = append(whole[i], p99)
				fmt.Fprintf(os.Stderr, "boot-away-p99: centre %s: %.2f ms: %s\n", state.name, p99, of)
			}
		}
	}
	for i := range whole {
		slices.Sort(whole[i])
	}
	return bench.Line{Name: "boot-away-p99", Sprout: whole[1][b.turns/2], Peer: "there", Other: whole[0][b.turns/2]}, nil
}

// round has one machine after the other ask all its questions. It returns p99 of
// what a machine's take together, in milliseconds, and that of each in words.
func (s *centred) round() (p99 float64, of string, err error) {
	questions := s.questions()
	took := make([][]float64, len(questions)+1)
	for _, m := range s.boots {
		all := 0.0
		for i, q := range questions {
			began := time.Now()
			if err := q.ask(m); err != nil {
				return 0, "", fmt.Errorf("%s: %w", q.name, err)
			}
			ms := float64(time.Since(began)) / float64(time.Millisecond)
			took[i], all = append(took[i], ms), all+ms
		}
		took[len(questions)] = append(took[len(questions)], all)
	}
	for i := range took {
		slices.Sort(took[i])
		if i < len(questions) {
			of += fmt.Sprintf("%s %.2f  ", questions[i].name, took[i][len(took[i])*99/100])
		}
	}
	last := took[len(questions)]
	return last[len(last)*99/100], of, nil
}

func fetchLoader(at string) error {
	n, err := fetch(at, loader, 1)
	if err == nil && n != loaderSize {
		err = fmt.Errorf("the agent sent %d of %d bytes", n, loaderSize)
	}
	return err
}

func getLoader(at string) error {
	answer, err := http.Get("http://" + at + "/boot/" + loader)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err == nil && n != loaderSize {
		err = fmt.Errorf("the agent sent %s, %d of %d bytes", answer.Status, n, loaderSize)
	}
	return err
}

// lookUp asks for the agent's own name.
func lookUp(at string) error {
	q := new(dns.Msg).SetQuestion("agent."+siteDomain+".", dns.TypeA)
	answer, err := dns.Exchange(q, at)
	if err != nil {
		return err
	}
	if len(answer.Answer) != 1 || !answer.Answer[0].(*dns.A).A.Equal(net.IP(siteAddress.Addr().AsSlice())) {
		return fmt.Errorf("the agent says %v of its own name", answer.Answer)
	}
	return nil
}
