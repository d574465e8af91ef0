package cli

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func machineImportCommand(e *env) *cobra.Command {
	var file, site string
	var plan, table bool
	c := &cobra.Command{
		Use: "import -f FILE", Short: api.MachineImport.Help, Args: takes(0, 0, "no arguments, but -f FILE"),
		Long: "Register the machines of a file: all of them, or none if one is wrong. The file is YAML or JSON; or CSV where its name ends in .csv, or\n" +
			"with --csv. The first line of CSV names its columns, in any order: " + strings.Join(csvNames(), ", ") + ".\n" +
			"name and mac are needed. Several MACs or tags have spaces between them, the first MAC is of the port that it boots from; yes and no\n" +
			"are said of what is or is not; an empty field is as if it were not there. Commas, semicolons or tabs are between the fields.",
		Example: "  sprout machine import -f machines.yaml\n  sprout machine import -f rack-12.csv --site lon1 --plan\n\n  machines:\n  - site: lon1\n    name: web-01\n    macs: [\"52:54:00:12:34:56\"]\n" +
			"    bmc: {driver: redfish, url: \"https://10.0.0.5\", username: admin, password: secret}\n\n" +
			"  name,mac,bmc-driver,bmc-url,bmc-user,bmc-password,label:rack\n  web-01,52:54:00:12:34:56,redfish,https://10.0.0.5,admin,secret,r12",
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usage(c, "%s needs -f FILE", c.CommandPath())
			}
			in, at, err := e.readMachines(file, site, table)
			if err != nil {
				return err
			}
			in.Body.Plan = plan
			made, err := call(c.Context(), e, api.MachineImport, in)
			if err != nil {
				return at.place(err)
			}
			if plan {
				return e.say(made, "%s would be registered; nothing is done", machines(len(made)))
			}
			return e.say(made, "%d machines are registered", len(made))
		},
	}
	f := c.Flags()
	f.StringVarP(&file, "file", "f", "", "YAML, JSON or CSV file; - reads standard input")
	f.StringVar(&site, "site", "", "site of the machines that name none")
	f.BoolVar(&table, "csv", false, "the file is CSV, whatever its name")
	f.BoolVar(&plan, "plan", false, "check everything, and register nothing")
	return c
}

// readMachines reads the machines of a CSV file; or of a YAML file: a list, or a list
// under the key machines. at says where in a CSV file each is.
func (e *env) readMachines(file, site string, table bool) (in api.ImportMachines, at csvPlaces, err error) {
	raw, err := e.readFile("--file", file)
	if err != nil {
		return in, at, err
	}
	switch {
	case table || strings.HasSuffix(strings.ToLower(file), ".csv"):
		in.Body.Machines, at, err = readCSV(raw, file)
	case strings.HasPrefix(strings.TrimSpace(stripComments(string(raw))), "-"):
		err = decodeStrict(raw, file, &in.Body.Machines)
	default:
		err = decodeStrict(raw, file, &in.Body)
	}
	for i := range in.Body.Machines {
		in.Body.Machines[i].Site = cmp.Or(in.Body.Machines[i].Site, site)
	}
	return in, at, err
}

// csvPlaces say where in a CSV file its machines are.
type csvPlaces struct {
	file    string
	columns []string // in their order
	lines   []int    // of the machines
}

// machineField is how the server names what is wrong with one of many machines.
var machineField = regexp.MustCompile(`machines\[(\d+)\](?:\.([A-Za-z.]+))?`)

// place says of an error of the server's at which line and column of the file it is.
func (p csvPlaces) place(err error) error {
	var known *sprout.Error
	if len(p.lines) == 0 || !errors.As(err, &known) {
		return err
	}
	found := machineField.FindStringSubmatch(known.Field)
	if found == nil {
		return err
	}
	i, _ := strconv.Atoi(found[1])
	if i >= len(p.lines) {
		return err
	}
	placed := *known
	placed.Field = fmt.Sprintf("%s line %d", p.file, p.lines[i])
	field := strings.ReplaceAll(found[2], "interfaces.mac", "macs")
	for n, name := range p.columns {
		if c, ok := csvColumnOf(name); ok && field != "" && strings.EqualFold(c.field, field) {
			placed.Field += fmt.Sprintf(", column %d (%s)", n+1, name)
			return &placed
		}
	}
	if field != "" {
		placed.Message = field + ": " + placed.Message
	}
	return &placed
}

func stripComments(text string) string {
	var kept []string
	for l := range strings.Lines(text) {
		if trimmed := strings.TrimSpace(l); trimmed != "---" && !strings.HasPrefix(trimmed, "#") {
			kept = append(kept, l)
		}
	}
	return strings.Join(kept, "")
}
