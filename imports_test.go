package sprout_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// imports says which packages of ours each package may import: the direction
// of ../docs/architecture.md. A key that ends in "/…" covers the packages
// below it. A package without a row fails the test: give it one.
var imports = map[string][]string{
	".":                  {},
	"cmd/sprout":         {"cli"},
	"cmd/sprout-ramdisk": {".", "ramdisk", "ramdisk/…", "hwtest/…"},
	"cli":                {".", "docs", "server", "agent", "client", "api", "lab", "sim/…", "dev", "wan", "image", "image/…", "ramdisk/…", "provider", "alloc", "audit", "trust", "health"},
	"dev":                {".", "server", "agent", "postgres"},

	"server": {".", "api", "crowd", "diagnose", "health", "provision", "workflow", "store", "bus", "provider", "audit", "docs", "image", "alloc", "dhcp", "dns", "hwtest", "hwtest/builtin", "ipam", "netconfig", "network", "trust"},
	"agent":  {".", "bus", "diagnose", "health", "provision", "workflow", "sitestore", "provider", "boot", "boot/…", "dhcp", "dhcp/…", "dns", "dns/…", "ipam/probe", "metadata", "network/builtin", "power", "power/…", "image", "trust"},
	"client": {".", "api", "trust"},
	"api":    {".", "alloc"},
	"api/…":  {".", "api"},

	"netconfig": {".", "ipam"}, "fat": {},
	"metadata":  {".", "netconfig"},
	"provision": {".", "workflow", "ipam", "metadata", "netconfig", "network", "dhcp", "dns", "power", "hwtest", "alloc"},
	"provider":  {".", "alloc/…", "boot/…", "dhcp/…", "dns/…", "hwtest/…", "ipam/…", "network/…", "power/…", "alloc", "dhcp", "dns", "hwtest", "ipam", "network", "power"},

	"store":     {".", "workflow", "audit", "crowd"},
	"store/…":   {".", "store", "postgres"},
	"sitestore": {".", "workflow"},
	"audit":     {"."},
	"crowd":     {},
	"diagnose":  {"."},
	"health":    {"."},
	"docs":      {"."},
	"bus":       {"."},
	"trust":     {"."},
	"postgres":  {"."},

	"workflow":   {"."},
	"workflow/…": {".", "workflow"},

	"alloc": {"."}, "alloc/…": {".", "alloc"},
	"boot": {".", "boot/tftp", "fat"}, "boot/…": {".", "boot"},
	"dhcp": {"."}, "dhcp/…": {".", "dhcp", "dhcp/…"},
	"dns": {"."}, "dns/…": {".", "dns", "dns/…"},
	"hwtest": {"."}, "hwtest/…": {".", "hwtest"},
	"ipam": {"."}, "ipam/…": {".", "ipam"},
	"network": {"."}, "network/…": {".", "network"},
	"power": {"."}, "power/…": {".", "power"}, "power/crawl": {".", "power", "power/…"},

	"image": {".", "health"}, "image/…": {".", "apt", "image"}, "apt": {"."},
	"ramdisk": {".", "fat", "hwtest", "hwtest/…"}, "ramdisk/…": {".", "apt", "lldp", "ramdisk"}, "lldp": {"."},
	"wan":       {"."},
	"lab":       {".", "lldp", "wan", "power", "power/…"},
	"sim":       {".", "hwtest", "power", "power/…", "ramdisk"},
	"sim/trial": {".", "agent", "api", "client", "dev", "power/…", "server", "sim", "wan"},
	"scenario":  {}, "faults": {}, "faults/…": {}, "bench": {".", "…"}, "bench/…": {".", "…"},
}

// why is printed with a forbidden import.
const why = "imports run one way (docs/architecture.md): a package that reaches up or sideways " +
	"cannot be read, tested or replaced alone. Declare the interface you need where you need it, " +
	"or move the noun to the ground package"

func TestImports(t *testing.T) {
	for pkg, imported := range ownImports(t) {
		allowed, ok := row(pkg)
		if !ok {
			t.Errorf("package %s has no row in the import table of imports_test.go", pkg)
			continue
		}
		for _, to := range imported {
			if !covers(allowed, to) {
				t.Errorf("%s may not import %s: %s", pkg, to, why)
			}
		}
	}
}

func TestGroundImportsStandardLibraryOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, "sprout").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		if strings.Contains(strings.Split(path, "/")[0], ".") {
			t.Errorf("package sprout imports %s: it is ground, and imports the standard library only", path)
		}
	}
}

func row(pkg string) ([]string, bool) {
	if allowed, ok := imports[pkg]; ok {
		return allowed, true
	}
	for dir := pkg; strings.Contains(dir, "/"); {
		dir = dir[:strings.LastIndex(dir, "/")]
		if allowed, ok := imports[dir+"/…"]; ok {
			return allowed, true
		}
	}
	return nil, false
}

func covers(allowed []string, pkg string) bool {
	if slices.Contains(allowed, pkg) || slices.Contains(allowed, "…") {
		return true
	}
	return slices.ContainsFunc(allowed, func(a string) bool {
		dir, tree := strings.CutSuffix(a, "…")
		return tree && strings.HasPrefix(pkg, dir)
	})
}

// ownImports returns, for each package of this module, those of ours that it
// imports outside its tests.
func ownImports(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "sprout/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		own := []string{}
		for _, path := range p.Imports {
			if name, ok := ours(path); ok {
				own = append(own, name)
			}
		}
		name, _ := ours(p.ImportPath)
		all[name] = own
	}
}

func ours(path string) (string, bool) {
	if path == "sprout" {
		return ".", true
	}
	return strings.CutPrefix(path, "sprout/")
}
