package sprout

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MostRules is how many rules of acceptance there may be.
const MostRules = 1000

// A Rule takes in machines that wait: those that meet its constraints, unless a rule
// of a higher priority, or an older one of the same, takes them first.
type Rule struct {
	Name     string `json:"name" doc:"A DNS label" example:"lab-r650"`
	Priority int    `json:"priority" doc:"The highest that a machine meets takes it; of equal ones the oldest" example:"10"`
	RuleGift
	Taken     int64     `json:"taken" doc:"How many machines it has taken" example:"12"`
	By        string    `json:"by" doc:"Who made it" example:"admin"`
	CreatedAt time.Time `json:"createdAt"`
	Rev       int64     `json:"revision" doc:"Rises with every change, and every machine that it takes: what If-Match compares" example:"3"`

	Number      int64           `json:"-"` // the oldest has the lowest
	Constraints json.RawMessage `json:"-"` // as they were asked for
	Request     json.RawMessage `json:"-"` // as they are looked at
}

// A RuleGift is what a rule gives a machine that it takes.
type RuleGift struct {
	MachineName string   `json:"machineName,omitempty" maxLength:"200" doc:"What it is called, with {serial}, {mac}, {uuid}, {model}, {site} and {counter} filled in; absent: as it was found" example:"r650-{serial}"`
	Tags        []string `json:"tags,omitempty" maxItems:"64" doc:"Tags that it gets besides its own" example:"[\"lab\"]"`
	Pool        string   `json:"pool,omitempty" maxLength:"200" doc:"Its pool; absent: none" example:"lab"`
	Zone        string   `json:"zone,omitempty" maxLength:"200" doc:"Its failure zone; absent: none" example:"a"`
	BMC         *BMC     `json:"bmc,omitempty" doc:"How it is powered; its URL may have the fields of machineName"`
	Commission  bool     `json:"commission,omitempty" doc:"Commission it at once; needs a BMC" example:"true"`
}

// Revision is the part of the entity tag that If-Match compares.
func (r Rule) Revision() string { return strconv.FormatInt(r.Rev, 10) }

// ruleFields are what the name of a machine may be made of.
var ruleFields = map[string]func(m *Machine, counter int64) string{
	"serial": func(m *Machine, _ int64) string { return m.inventory().SerialLabel() },
	"mac":    func(m *Machine, _ int64) string { return strings.ReplaceAll(m.bootMAC(), ":", "") },
	"uuid": func(m *Machine, _ int64) string {
		if uuid := m.inventory().UUID; strings.Trim(uuid, "0fF-") != "" {
			return asLabel(uuid)
		}
		return ""
	},
	"model":   func(m *Machine, _ int64) string { return asLabel(m.inventory().Model) },
	"site":    func(m *Machine, _ int64) string { return m.SiteName },
	"counter": func(_ *Machine, counter int64) string { return strconv.FormatInt(counter, 10) },
}

// noSerials are serial numbers that say that there is none, as labels without hyphens.
var noSerials = []string{"", "0", "none", "notspecified", "tobefilledbyoem", "defaultstring", "systemserialnumber", "0123456789"}

// SerialLabel is the serial number as part of a DNS label; empty where it is none that
// a vendor would give.
func (i *Inventory) SerialLabel() string {
	if serial := asLabel(i.Serial); !slices.Contains(noSerials, strings.ReplaceAll(serial, "-", "")) {
		return serial
	}
	return ""
}

// Counts tells whether the names that the rule gives are numbered.
func (g RuleGift) Counts() bool { return strings.Contains(g.MachineName, "{counter}") }

// NameOf is what the machine is called when the rule takes it: as it is where the rule
// does not say. Conflict if the machine does not tell a field that the name has, or
// if what comes of it is no DNS label (RFC 1123, section 2.1).
func (g RuleGift) NameOf(m *Machine, counter int64) (string, error) {
	if g.MachineName == "" {
		return m.Name, nil
	}
	name, err := fill(g.MachineName, m, counter)
	if err != nil {
		return "", err
	}
	if name = strings.ToLower(name); !isLabel(name) {
		return "", Errorf(Conflict, "cannot name it %q by %s: a name has a-z, 0-9 and hyphens inside, and at most 63 characters", name, g.MachineName)
	}
	return name, nil
}

// BMCOf is the BMC that the machine gets; nil: none. Conflict if the machine does not
// tell a field that its URL has.
func (g RuleGift) BMCOf(m *Machine, counter int64) (*BMC, error) {
	if g.BMC == nil {
		return nil, nil
	}
	bmc := *g.BMC
	var err error
	bmc.URL, err = fill(g.BMC.URL, m, counter)
	return &bmc, err
}

// fill fills in the fields of a text. Conflict if the machine does not tell one.
func fill(text string, m *Machine, counter int64) (string, error) {
	var out strings.Builder
	for {
		before, rest, more := strings.Cut(text, "{")
		out.WriteString(before)
		if !more {
			return out.String(), nil
		}
		var name string
		name, text, _ = strings.Cut(rest, "}")
		field, known := ruleFields[name]
		if !known {
			return "", Errorf(Invalid, "cannot fill in {%s}: there are %s", name, fieldNames())
		}
		value := field(m, counter)
		if value == "" {
			return "", Errorf(Conflict, "cannot fill in {%s}: the machine has none that tells it from others", name)
		}
		out.WriteString(value)
	}
}

// Check refuses what could be given to no machine.
func (g RuleGift) Check() error {
	if err := CheckTags(g.Tags); err != nil {
		return err
	}
	for field, word := range map[string]string{"pool": g.Pool, "zone": g.Zone} {
		if err := CheckWord(field, word); err != nil {
			return err
		}
	}
	whole := Machine{SiteName: "site", Interfaces: []Interface{{MAC: "52:54:00:12:34:56"}}, Inventory: &Inventory{Serial: "S", UUID: "1", Model: "M"}}
	if g.MachineName != "" {
		if _, err := g.NameOf(&whole, 1); err != nil {
			return InvalidField("machineName", "%v", err)
		}
	}
	if g.BMC == nil {
		if g.Commission {
			return InvalidField("commission", "cannot commission machines that have no BMC by which they could be started").WithRemedy("--bmc-url 'https://{serial}.bmc.example' --bmc-user …")
		}
		return nil
	}
	if g.Commission && g.BMC.Driver == "manual" {
		return InvalidField("commission", "cannot commission machines whose power is manual")
	}
	if _, err := g.BMCOf(&whole, 1); err != nil {
		return InvalidField("bmc.url", "%v", err)
	}
	return g.BMC.Check()
}

func fieldNames() string {
	return "{" + strings.Join(slices.Sorted(maps.Keys(ruleFields)), "}, {") + "}"
}

// asLabel makes of a text what can be part of a DNS label: other characters than
// letters and digits become one hyphen, none at its ends.
func asLabel(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "-")
}

func isLabel(name string) bool {
	ends := strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-")
	return name != "" && len(name) <= 63 && !ends && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// inventory is what the machine has; nothing where nobody has looked.
func (m *Machine) inventory() *Inventory {
	if m.Inventory == nil {
		return &Inventory{}
	}
	return m.Inventory
}

// bootMAC is the address of the port that it boots from, else of its first one.
func (m *Machine) bootMAC() string {
	for _, f := range m.Interfaces {
		if f.Boot {
			return f.MAC
		}
	}
	if len(m.Interfaces) == 0 {
		return ""
	}
	return m.Interfaces[0].MAC
}
