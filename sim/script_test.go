package sim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// What iPXE makes of a script decides what boots; the commands' meaning is
// that of ipxe.org/cmd.
func TestScripts(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		err    error  // how it ends; nil: it boots
		says   string // in the error, where err is none of ours
		kernel string
		words  string // on the kernel's command line
	}{
		"boots":             {"kernel /k a=${net0/mac} b\ninitrd --name i /i\nboot", nil, "", "/k", "a=52:54:00:00:00:01 b"},
		"retries":           {":again\nkernel /flaky x || goto failed\nboot\n:failed\nsleep 9\ngoto again", nil, "", "/flaky", "x"},
		"fails":             {"kernel /missing\nboot", nil, "404", "", ""},
		"ignores a failure": {"kernel /missing ||\nkernel /k c\nboot", nil, "", "/k", "c"},
		"by platform":       {"iseq ${platform} efi && goto uefi ||\nexit 0\n:uefi\nreboot", errExit, "", "", ""},
		"chains":            {"chain /other", nil, "", "/k", "chained"},
		"ends":              {"echo hello", errExit, "", "", ""},
		"powers off":        {"poweroff", errPowerOff, "", "", ""},
		"unknown":           {"sanboot iscsi:x", nil, "sanboot", "", ""},
		"no kernel":         {"boot", nil, "kernel", "", ""},
		"no label":          {"goto nowhere", nil, "nowhere", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			tries := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/script":
					fmt.Fprint(w, "#!ipxe\n"+c.script)
				case "/other":
					fmt.Fprint(w, "#!ipxe\nkernel k chained\nboot\n")
				case "/k", "/i":
					fmt.Fprint(w, "content")
				case "/flaky":
					if tries++; tries < 3 {
						w.WriteHeader(http.StatusServiceUnavailable)
						return
					}
					fmt.Fprint(w, "content")
				default:
					w.WriteHeader(http.StatusNotFound)
				}
			}))
			defer server.Close()
			m, err := New(Config{Spec: Spec{Name: "m1", MACs: []string{"52:54:00:00:00:01"}}, Pace: Pace{Retry: 1}})
			if err != nil {
				t.Fatal(err)
			}
			local := netip.MustParseAddr("127.0.0.1")
			w := newWeb(local, &cable{})
			defer w.Close()
			k, err := m.runScript(context.Background(), w, lease{ip: local, server: local, file: server.URL + "/script"})
			switch {
			case c.err != nil && !errors.Is(err, c.err), c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Fatalf("ended with %v, want %v %s", err, c.err, c.says)
			case c.err == nil && c.says == "" && (err != nil || !strings.HasSuffix(k.url, c.kernel) || strings.Join(k.cmdline, " ") != c.words):
				t.Fatalf("boots %+v, %v", k, err)
			}
		})
	}
}

func TestScriptNeedsItsFirstLine(t *testing.T) {
	if err := (&script{}).run(context.Background(), "kernel /k\nboot"); err == nil || !strings.Contains(err.Error(), "no iPXE script") {
		t.Fatal(err)
	}
}
