package trial

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sprout/api/apitest"
)

// memoryMachines says how many machines the test of memory has: more tell more.
var memoryMachines = flag.Int("memory-machines", 24, "machines of the test of agents' memory")

// sampleEvery is the mean distance of allocations that are looked at, in bytes.
const sampleEvery = 1024

func TestMain(m *testing.M) {
	runtime.MemProfileRate = sampleEvery // before anything is allocated that counts
	flag.Parse()
	os.Exit(m.Run())
}

// What an agent may keep in memory of a machine that is at rest, and how much
// more after each further time that it was deployed and released.
const (
	mostOfMachine = 24 << 10
	mostOfRound   = 4 << 10
)

// An agent keeps little of a machine once its work is done, however often that was:
// so 10,000 machines fit where 10 do.
func TestAgentsKeepLittleOfAMachine(t *testing.T) {
	n := *memoryMachines
	trial, err := begin(t.Context(), Config{Edge: apitest.Edge(t), Sites: 1, Machines: n, Goal: All, Seed: 1, Patience: 2 * time.Minute}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer trial.down()
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	watching.Go(func() { _ = trial.watch.run(ctx) })
	trial.score.begin(time.Now())
	subjects := make([]*subject, n)
	for i := range subjects {
		subjects[i] = trial.subject(i)
	}
	pass := func(round []stage) held {
		trial.manageRound(ctx, subjects, round, 0, false)
		for _, s := range subjects {
			if s.result.Outcome != Finished {
				t.Fatalf("%+v", s.result)
			}
		}
		return agentsHold()
	}
	before := agentsHold()
	after := pass(stages)
	if grown := (after.sum() - before.sum()) / int64(n); grown > mostOfMachine || grown <= 0 {
		t.Errorf("the agent holds %d B more for each of %d machines at rest, it may %d", grown, n, mostOfMachine)
		t.Log(after.more(before))
	} else {
		t.Logf("an agent's %d B, and %d B for each machine", before.sum(), grown)
	}
	const again = 2
	last := after
	for range again {
		last = pass(stages[2:])
	}
	grown := (last.sum() - after.sum()) / int64(n) / again
	t.Logf("and %d B more with each further round", grown)
	if grown > mostOfRound {
		t.Errorf("the agent holds %d B more for each machine each time that it is deployed and released again, it may %d", grown, mostOfRound)
		t.Log(last.more(after))
	}
	// No other trial runs beside: what the process gives back is theirs.
	stop()
	watching.Wait()
	var cost Cost
	cost.PeakMemoryMB, _ = residentMB()
	trial.weigh(&cost)
	if cost.MachinesMB < 0 || cost.AgentsMB <= 0 || cost.ProductMB <= cost.AgentsMB || cost.AgentPerMachine <= 0 {
		t.Errorf("of %.0f MB %.1f are the machines', %.1f the agents', %.1f server and agents", cost.PeakMemoryMB, cost.MachinesMB, cost.AgentsMB, cost.ProductMB)
	}
}

// held is how many bytes live on the heap, by who asked for them.
type held map[string]int64

func (h held) sum() (sum int64) {
	for _, bytes := range h {
		sum += bytes
	}
	return sum
}

// more lists what h has more than before, the most first.
func (h held) more(before held) string {
	places := slices.SortedFunc(maps.Keys(h), func(a, b string) int { return cmp.Compare(h[b]-before[b], h[a]-before[a]) })
	var text strings.Builder
	for _, place := range places[:min(10, len(places))] {
		fmt.Fprintf(&text, "\n%d B %s", h[place]-before[place], place)
	}
	return text.String()
}

// agentsHold is what lives on the heap that the agents' parts asked for.
func agentsHold() held {
	for range 3 { // the profile is of the collection before; pools are emptied in two
		runtime.GC()
	}
	records := make([]runtime.MemProfileRecord, 64)
	for {
		n, ok := runtime.MemProfile(records, false)
		if ok {
			records = records[:n]
			break
		}
		records = make([]runtime.MemProfileRecord, 2*n)
	}
	all := held{}
	for _, r := range records {
		place := placeOf(r.Stack())
		if r.InUseObjects() == 0 || place == "" {
			continue
		}
		size := float64(r.InUseBytes()) / float64(r.InUseObjects())
		all[place] += int64(float64(r.InUseBytes()) / (1 - math.Exp(-size/sampleEvery))) // what was sampled stands for more
	}
	return all
}

// agentParts are the packages that only agents use.
var agentParts = []string{"sprout/agent.", "sprout/sitestore.", "sprout/dhcp/", "sprout/boot/", "sprout/power/redfish."}

// buffers are what is kept for whoever needs one next, however many machines.
var buffers = []string{"bytes.growSlice", "github.com/nats-io/", "go.etcd.io/bbolt.Open"}

// placeOf is who asked, up to the agent's first function; empty: none is of it.
func placeOf(stack []uintptr) string {
	var place []string
	of := false
	frames := runtime.CallersFrames(stack)
	for more := len(stack) > 0; more; {
		var f runtime.Frame
		f, more = frames.Next()
		begins := func(part string) bool { return strings.HasPrefix(f.Function, part) }
		if slices.ContainsFunc(buffers, begins) || begins("sprout/sim.") { // or a machine that asks
			return ""
		}
		if !of {
			place = append(place, f.Function)
		}
		of = of || slices.ContainsFunc(agentParts, begins)
	}
	if !of {
		return ""
	}
	return strings.Join(place, " < ")
}
