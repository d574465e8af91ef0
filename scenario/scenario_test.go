package scenario_test

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sprout/store/storetest"
)

// storiesAtOnce is how many stories run side by side: most of their time they
// wait for timers of the product, not for processors.
const storiesAtOnce = "8"

func TestMain(m *testing.M) {
	if file := os.Getenv(apartEnv); file != "" {
		os.Exit(beAgent(file))
	}
	flag.Parse()
	if err := flag.Set("test.parallel", storiesAtOnce); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestStories(t *testing.T) {
	cluster, err := storetest.Start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	ports := &portBook{}
	testscript.Run(t, testscript.Params{
		Dir:                 ".",
		RequireUniqueNames:  true,
		Setup:               func(env *testscript.Env) error { return begin(env, cluster, ports) },
		Cmds:                words(),
		RequireExplicitExec: true,
	})
}

// patience is how long an await may take. It is longer than every timer of the
// product that a story waits for.
const patience = 40 * time.Second

// A word is one command of the stories. neg: it was told with a "!".
type word func(s *story, ts *testscript.TestScript, neg bool, args []string)

// words is the vocabulary of doc.go.
func words() map[string]func(*testscript.TestScript, bool, []string) {
	table := map[string]word{
		"stage":          tellStage,
		"sprout":         tellSprout,
		"exits":          tellExits,
		"let":            tellLet,
		"site-agent":     tellSiteAgent,
		"kill-agent":     tellKillAgent,
		"squat":          tellSquat,
		"restart-agent":  tellRestartAgent,
		"restart-server": tellRestartServer,
		"wan":            tellWAN,
		"away":           tellAway,
		"journal":        tellJournal,
		"heard":          tellHeard,
		"plug":           tellPlug,
		"refit":          tellRefit,
		"press":          tellPress,
		"unplug":         tellUnplug,
		"hold":           tellHold,
		"fault":          tellFault,
		"go-on":          tellGoOn,
		"bmc":            tellBMC,
		"ipmi":           tellIPMI,
		"bmc-form":       tellBMCForm,
		"webhook":        tellWebhook,
		"break":          tellBreak,
		"heal":           tellHeal,
		"await":          tellAwait,
		"disk":           tellDisk,
		"drive":          tellDrive,
		"corrupt-cache":  tellCorruptCache,
		"lookup":         tellLookup,
		"dig":            tellDig,
		"nsupdate":       tellNsupdate,
		"prompt":         tellPrompt,
		"count":          tellCount,
		"expire-tokens":  tellExpireTokens,
		"no-secret":      tellNoSecret,
		"user-data":      tellUserData,
		"random":         tellRandom,
		"expand":         tellExpand,
		"watch":          tellWatch,
		"told":           tellTold,
		"type":           tellType,
		"says":           tellSays,
	}
	cmds := map[string]func(*testscript.TestScript, bool, []string){}
	for name, tell := range table {
		cmds[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			tell(ts.Value(storyKey{}).(*story), ts, neg, args)
		}
	}
	return cmds
}

// usage ends a story that is not well told.
func usage(ts *testscript.TestScript, ok bool, words string) {
	if !ok {
		ts.Fatalf("usage: %s", words)
	}
}
