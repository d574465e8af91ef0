package cli

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"sprout/agent"
	"sprout/server"
)

const configurationDoc = "../docs/configuration.md"

func readDoc(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(configurationDoc)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var (
	yamlBlock = regexp.MustCompile("(?s)```yaml\n# (\\S+)\n(.*?)```")
	tableRow  = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (?:`([^`]+)`)? ?\\| ?(?:`([^`]+)`)? ?\\|")
)

// Every example of the document is read as the program reads its file.
func TestExamplesOfTheDocumentAreRead(t *testing.T) {
	configs := map[string]any{
		"/etc/sprout/server.yaml":      new(server.Config),
		"/etc/sprout/agent.yaml":       new(agent.Config),
		"~/.config/sprout/config.yaml": new(contextFile),
	}
	blocks := yamlBlock.FindAllStringSubmatch(readDoc(t), -1)
	if len(blocks) != len(configs) {
		t.Fatalf("%d examples, want %d", len(blocks), len(configs))
	}
	for _, b := range blocks {
		config, ok := configs[b[1]]
		if !ok {
			t.Errorf("an example of %s: nothing reads that", b[1])
			continue
		}
		if err := decodeStrict([]byte(b[2]), b[1], config); err != nil {
			t.Error(err)
		}
	}
	c := configs["/etc/sprout/server.yaml"].(*server.Config)
	if err := c.Check(); err != nil {
		t.Errorf("the example of the server's file does not work: %v", err)
	}
}

// The tables list every setting that there is, and none that is not.
func TestEverySettingIsInTheDocument(t *testing.T) {
	doc := readDoc(t)
	for _, p := range []struct {
		heading, prefix, command string
		config                   any
	}{
		{"## Server", "SPROUT_SERVER", "server", new(server.Config)},
		{"## Agent", "SPROUT_AGENT", "agent", new(agent.Config)},
	} {
		settings := map[string]reflect.Value{}
		collect(reflect.ValueOf(p.config).Elem(), p.prefix, settings)
		_, section, _ := strings.Cut(doc, p.heading+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		for _, row := range tableRow.FindAllStringSubmatch(section, -1) {
			key, variable, flag := row[1], row[2], row[3]
			if variable == "" {
				continue // a map: only the file sets it
			}
			if want := p.prefix + "_" + strings.ReplaceAll(upperSnake(key), ".", "_"); variable != want {
				t.Errorf("%s: %s is said to be %s, it is %s", p.command, key, variable, want)
			}
			if _, ok := settings[variable]; !ok {
				t.Errorf("%s: %s is documented and does not exist", p.command, variable)
			}
			delete(settings, variable)
			checkFlag(t, p.command, flag)
		}
		for variable := range settings {
			t.Errorf("%s: %s is not documented", p.command, variable)
		}
	}
}

func checkFlag(t *testing.T, command, flag string) {
	t.Helper()
	if flag == "" {
		return
	}
	c, _, err := rootCommand(newEnv(strings.NewReader(""), nil, nil)).Find([]string{command})
	if err != nil {
		t.Fatal(err)
	}
	if name := strings.TrimPrefix(flag, "--"); c.Flag(name) == nil {
		t.Errorf("%s has no flag %s", command, flag)
	}
}
