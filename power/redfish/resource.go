package redfish

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"sprout"
)

// The parts of the Redfish schemas (DSP8010) that we read.

type link struct {
	ID string `json:"@odata.id"`
}

type root struct {
	Version string `json:"RedfishVersion"`
	Vendor  string `json:"Vendor"`
	Product string `json:"Product"`
	Systems link   `json:"Systems"`
	Links   struct {
		Sessions link `json:"Sessions"`
	} `json:"Links"`
}

type collection struct {
	Members []link `json:"Members"`
}

type boot struct {
	Target  string   `json:"BootSourceOverrideTarget"`
	Targets []string `json:"BootSourceOverrideTarget@Redfish.AllowableValues"`
	Enabled string   `json:"BootSourceOverrideEnabled"`
	Mode    *string  `json:"BootSourceOverrideMode"` // nil: not supported
	Modes   []string `json:"BootSourceOverrideMode@Redfish.AllowableValues"`
}

type system struct {
	ID           string  `json:"Id"`
	Manufacturer string  `json:"Manufacturer"`
	Model        string  `json:"Model"`
	PowerState   string  `json:"PowerState"`
	Serial       string  `json:"SerialNumber"`
	SKU          string  `json:"SKU"`
	UUID         string  `json:"UUID"`
	Firmware     string  `json:"BiosVersion"`
	Ports        link    `json:"EthernetInterfaces"`
	Boot         boot    `json:"Boot"`
	Media        link    `json:"VirtualMedia"`
	Console      console `json:"SerialConsole"`
	Settings     struct {
		Object link `json:"SettingsObject"`
	} `json:"@Redfish.Settings"`
	Links struct {
		ManagedBy []link `json:"ManagedBy"`
	} `json:"Links"`
	Actions struct {
		Reset struct {
			Target  string   `json:"target"`
			Allowed []string `json:"ResetType@Redfish.AllowableValues"`
			Info    string   `json:"@Redfish.ActionInfo"`
		} `json:"#ComputerSystem.Reset"`
	} `json:"Actions"`
	etags []string // of the header and of the body, each once
}

// manager is the BMC itself.
type manager struct {
	Model    string `json:"Model"`
	Firmware string `json:"FirmwareVersion"`
	Media    link   `json:"VirtualMedia"`
	Console  struct {
		Types []string `json:"ConnectTypesSupported"`
	} `json:"SerialConsole"`
}

// console is how the serial console is offered (ComputerSystem 1.13).
type console struct {
	IPMI, SSH struct {
		Enabled bool `json:"ServiceEnabled"`
		Port    int  `json:"Port"`
	}
}

func (s *system) power() sprout.PowerState {
	switch s.PowerState {
	case "On", "PoweringOff", "Paused":
		return sprout.PowerOn
	case "Off", "PoweringOn":
		return sprout.PowerOff
	}
	return sprout.PowerUnknown
}

type actionInfo struct {
	Parameters []struct {
		Name    string   `json:"Name"`
		Allowed []string `json:"AllowableValues"`
	} `json:"Parameters"`
}

func (a actionInfo) allowed(parameter string) []string {
	for _, p := range a.Parameters {
		if p.Name == parameter {
			return p.Allowed
		}
	}
	return nil
}

const rootPath = "/redfish/v1/"

// readSystem reads the ComputerSystem, after finding it the first time. Where it was
// and is no more it is looked for anew, once.
func (p *Driver) readSystem(ctx context.Context) (*system, error) {
	for try := 0; ; try++ {
		fresh := p.found.system == ""
		if fresh {
			at, err := p.findSystem(ctx)
			if err != nil {
				return nil, err
			}
			p.found.system = at
		}
		s, res, err := p.systemAt(ctx, p.found.system)
		if res != nil && res.status == http.StatusNotFound && !fresh && try == 0 {
			continue
		}
		if err == nil && fresh {
			p.identify(ctx, s)
		}
		return s, err
	}
}

func (p *Driver) systemAt(ctx context.Context, at string) (*system, *response, error) {
	res, err := p.call(ctx, http.MethodGet, at, nil, "")
	if err != nil {
		return nil, res, err
	}
	var tagged struct {
		ETag string `json:"@odata.etag"`
	}
	s := &system{}
	if err := p.decode(res, s); err != nil {
		return nil, res, err
	}
	_ = json.Unmarshal(res.body, &tagged) // decoded once already
	for _, tag := range []string{res.header.Get("ETag"), tagged.ETag} {
		if tag != "" && !slices.Contains(s.etags, tag) {
			s.etags = append(s.etags, tag)
		}
	}
	return s, res, nil
}

// findSystem returns the path of the configured system, or of the only one.
func (p *Driver) findSystem(ctx context.Context) (string, error) {
	var r root
	if err := p.get(ctx, rootPath, &r); err != nil {
		return "", err
	}
	if r.Systems.ID == "" {
		return "", p.fail(sprout.BMCFailed, "cannot find the system: the BMC has no Systems collection", p.base.String()+rootPath)
	}
	p.found.about.Vendor = r.Vendor
	var systems collection
	if err := p.get(ctx, r.Systems.ID, &systems); err != nil {
		return "", err
	}
	var ids []string
	for _, m := range systems.Members {
		id := path.Base(m.ID)
		ids = append(ids, id)
		if id == p.config.System || (p.config.System == "" && len(systems.Members) == 1) {
			return m.ID, nil
		}
	}
	reason := "cannot choose the system: name one of the BMC's"
	if p.config.System != "" {
		reason = fmt.Sprintf("cannot find the system %q at the BMC", p.config.System)
	}
	return "", p.fail(sprout.BMCFailed, reason, "it has: "+strings.Join(ids, ", "))
}

func (p *Driver) get(ctx context.Context, at string, into any) error {
	res, err := p.call(ctx, http.MethodGet, at, nil, "")
	if err != nil {
		return err
	}
	return p.decode(res, into)
}

func (p *Driver) decode(res *response, into any) error {
	if err := json.Unmarshal(res.body, into); err != nil {
		return p.fail(sprout.BMCFailed, "cannot read the BMC's answer: it is not the JSON it should be",
			fmt.Sprintf("%s: %v", res.what, err))
	}
	return nil
}
