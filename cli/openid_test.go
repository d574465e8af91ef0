package cli_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// An openID is a running OpenID provider: testdata/openid, which is oidc-provider
// of npm, certified by the OpenID Foundation.
type openID struct {
	t      *testing.T
	dir    string
	people string // file of people's claims
	url    string
	port   string
	stop   func()
}

func startOpenID(t *testing.T) *openID {
	t.Helper()
	o := &openID{t: t, dir: openIDPackages(t), people: filepath.Join(t.TempDir(), "people.json"), port: "0"}
	o.is("ann", "platform")
	o.start()
	t.Cleanup(func() { o.stop() })
	return o
}

// openIDPackages installs the provider's packages once for each lock file, in the
// user's cache.
func openIDPackages(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the OpenID provider that people log in at here needs %s: %v", tool, err)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	files := map[string][]byte{}
	for _, name := range []string{"package.json", "package-lock.json", "provider.mjs"} {
		if files[name], err = os.ReadFile(filepath.Join("testdata", "openid", name)); err != nil {
			t.Fatal(err)
		}
		_, _ = hash.Write(files[name]) // never fails
	}
	dir := filepath.Join(cache, "sprout-test", "openid-"+hex.EncodeToString(hash.Sum(nil))[:16])
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "fresh-") //nolint:usetesting // it is renamed: it must be on the cache's file system
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(fresh) }() // it is dir by now, or in vain
	for name, raw := range files {
		if err := os.WriteFile(filepath.Join(fresh, name), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	npm := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = fresh
	if said, err := npm.CombinedOutput(); err != nil {
		t.Skipf("the OpenID provider that people log in at here cannot be fetched: %v: %s", err, said)
	}
	if err := os.Rename(fresh, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// start runs the provider, at the port that it had before.
func (o *openID) start() {
	o.t.Helper()
	node := exec.Command("node", "provider.mjs")
	node.Dir, node.Env = o.dir, append(os.Environ(), "PEOPLE="+o.people, "PORT="+o.port)
	out, err := node.StdoutPipe()
	if err != nil {
		o.t.Fatal(err)
	}
	var errs strings.Builder
	node.Stderr = &errs
	if err := node.Start(); err != nil {
		o.t.Fatal(err)
	}
	o.stop = func() { _ = node.Process.Kill(); _ = node.Wait(); o.stop = func() {} }
	line, err := bufio.NewReader(out).ReadString('\n')
	if o.url = strings.TrimSpace(line); err != nil {
		o.stop()
		o.t.Fatalf("the provider does not start: %v: %s", err, errs.String())
	}
	u, err := url.Parse(o.url)
	if err != nil {
		o.t.Fatal(err)
	}
	o.port = u.Port()
}

// is makes a person a member of groups, and of no others.
func (o *openID) is(name string, groups ...string) {
	o.t.Helper()
	raw, err := json.Marshal(map[string]any{name: map[string]any{"name": name, "preferred_username": name, "groups": groups}})
	if err == nil {
		err = os.WriteFile(o.people, raw, 0o644)
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

var (
	formAt   = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)".*?</form>`)
	hiddenIn = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)
)

// browse does what a person does with a browser: opens the address, logs in where
// that is asked for, and says yes to everything, or no to the device.
func (o *openID) browse(address, name string, yes bool) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	page, err := browser.Get(address)
	for range 10 {
		if err != nil {
			return err
		}
		raw, err2 := io.ReadAll(page.Body)
		_ = page.Body.Close()
		form := formAt.FindSubmatch(raw)
		if err2 != nil || form == nil {
			return err2
		}
		fields := url.Values{}
		for _, f := range hiddenIn.FindAllSubmatch(form[0], -1) {
			fields.Set(string(f[1]), html.UnescapeString(string(f[2])))
		}
		if strings.Contains(string(form[0]), `name="login"`) {
			fields.Set("login", name)
			fields.Set("password", "any")
		}
		refuses := fields.Get("confirm") != "" && !yes
		if refuses {
			fields.Set("abort", "yes")
		}
		page, err = browser.PostForm(html.UnescapeString(string(form[1])), fields)
		if refuses && err == nil {
			return page.Body.Close() // it asks for another code
		}
	}
	return fmt.Errorf("there is no end of forms at %s", address)
}
