package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sprout"
	"sprout/api"
	"sprout/netconfig"
	"sprout/provision"
)

// surroundings are what plans and checks of several machines look at alike,
// read once a request.
type surroundings struct {
	*Server
	mu       sync.Mutex
	images   map[string]sprout.Image
	networks map[sprout.SiteID][]sprout.Network
	usual    map[[3]string]*api.UsualRun
	erased   map[sprout.MachineID]bool // nil: not looked up yet
}

func (s *Server) look() *surroundings {
	return &surroundings{
		Server: s, images: map[string]sprout.Image{}, networks: map[sprout.SiteID][]sprout.Network{}, usual: map[[3]string]*api.UsualRun{},
	}
}

// once returns what is kept under a key, or reads and keeps it.
func once[K comparable, V any](around *surroundings, kept map[K]V, key K, read func() (V, error)) (V, error) {
	around.mu.Lock()
	defer around.mu.Unlock()
	if v, ok := kept[key]; ok {
		return v, nil
	}
	v, err := read()
	if err == nil {
		kept[key] = v
	}
	return v, err
}

func (a *surroundings) image(ctx context.Context, ref string) (sprout.Image, error) {
	return once(a, a.images, ref, func() (sprout.Image, error) { return a.findImage(ctx, ref) })
}

func (a *surroundings) networksOf(ctx context.Context, site sprout.SiteID) ([]sprout.Network, error) {
	return once(a, a.networks, site, func() ([]sprout.Network, error) { return a.store.Networks(ctx, sprout.At(site)) })
}

// usualRun tells how long a kind of workflow takes on such machines; nil where
// their model is not known.
func (a *surroundings) usualRun(ctx context.Context, kind string, m sprout.Machine) (*api.UsualRun, error) {
	if m.Inventory == nil || m.Inventory.Model == "" {
		return nil, nil
	}
	vendor, model := m.Inventory.Vendor, m.Inventory.Model
	return once(a, a.usual, [3]string{kind, vendor, model}, func() (*api.UsualRun, error) {
		usual, err := a.store.UsualRun(ctx, kind, vendor, model)
		run := &api.UsualRun{Kind: kind, Vendor: vendor, Model: model, Runs: usual.Runs}
		if usual.Runs >= leastRuns {
			run.P50, run.P95 = usual.P50.Seconds(), usual.P95.Seconds()
		}
		return run, err
	})
}

// emptied tells whether all disks of the machine are known to be empty.
func (a *surroundings) emptied(ctx context.Context, id sprout.MachineID) (bool, error) {
	if a.erased != nil {
		return a.erased[id], nil
	}
	erased, err := a.store.ErasedMachines(ctx, []sprout.MachineID{id})
	return erased[id], err
}

// disksOf lists the disks of a machine as they are before it.
func (a *surroundings) disksOf(ctx context.Context, m sprout.Machine) ([]api.PlannedDisk, error) {
	if m.Inventory == nil {
		return nil, nil
	}
	empty, err := a.emptied(ctx, m.ID)
	var all []api.PlannedDisk
	for _, d := range m.Inventory.Disks {
		all = append(all, api.PlannedDisk{Name: d.Name, Model: d.Model, Serial: d.Serial, Bytes: d.Bytes, Fate: api.DiskKept, Empty: empty && !d.ReadOnly && !d.Removable})
	}
	return all, err
}

// planDeploy says what an install does to a machine that it is allowed on.
func (a *surroundings) planDeploy(ctx context.Context, m sprout.Machine, in provision.DeployInput, subnet string) (p api.Plan, err error) {
	p.Becomes, p.Traffic = sprout.Deployed, in.Image.Bytes
	if m.State == sprout.Deployed {
		p.Destroys = append(p.Destroys, fmt.Sprintf("the system that is installed (%s)", m.Image))
	}
	if p.Addresses, err = a.taken(ctx, m, in, subnet); err != nil {
		return p, err
	}
	if p.Disks, err = a.disksOf(ctx, m); err != nil {
		return p, err
	}
	overwritten(&p, m, in)
	p.FastTrack = m.RestsUntil != nil && !m.VirtualMedia
	p.Usual, err = a.usualRun(ctx, provision.Deploy, m)
	return p, err
}

// taken says which addresses an install takes that the machine has not.
func (a *surroundings) taken(ctx context.Context, m sprout.Machine, in provision.DeployInput, subnet string) (words []string, err error) {
	if in.Network == nil {
		if len(m.Addresses) == 0 {
			words = append(words, "takes one of "+subnet)
		}
		return words, nil
	}
	networks, err := a.networksOf(ctx, m.Site)
	for _, w := range netconfig.Wanted(*in.Network) {
		if slices.ContainsFunc(m.Addresses, func(has sprout.Address) bool { return has.Subnet == w.Subnet && has.MAC == w.MAC }) {
			continue
		}
		what := "one"
		if w.IP.IsValid() {
			what = w.IP.String()
		}
		for _, n := range networks {
			for _, sub := range n.Subnets {
				if sub.ID == w.Subnet {
					words = append(words, fmt.Sprintf("takes %s of %s (%s) for %s", what, n.Name, sub.CIDR, w.Interface))
				}
			}
		}
	}
	return words, err
}

// overwritten marks the disk that is going to be written. It chooses as the
// ramdisk does, by the last inventory.
func overwritten(p *api.Plan, m sprout.Machine, in provision.DeployInput) {
	if m.Inventory == nil {
		p.Destroys = append(p.Destroys, "everything on the chosen disk (there is no inventory to choose by)")
		return
	}
	if in.Layout != nil {
		laidOut(p, m, in)
		return
	}
	chosen, _, failure := in.Disk.Choose(m.Inventory.Disks, in.Image.RawBytes)
	if failure != nil {
		p.Warnings = append(p.Warnings, "by the last inventory it would fail: "+failure.Reason)
	}
	for i, d := range m.Inventory.Disks {
		switch {
		case failure == nil && d.Name == chosen.Name:
			p.Disks[i].Fate = api.DiskOverwritten
		case failure != nil && in.Disk.Mismatch(d) == "":
			p.Disks[i].Fate = api.DiskUnsure
		}
	}
}

// named are the disks of a plan that have one of the fates: what is done later is done
// to none but those.
func named(p api.Plan, m sprout.Machine, fates ...string) (disks []sprout.Disk) {
	for i, d := range p.Disks {
		if slices.Contains(fates, d.Fate) {
			disks = append(disks, m.Inventory.Disks[i])
		}
	}
	return disks
}

// toWrite are the disks that the plan of an install names. None where there is no
// inventory, or none of it matches: then the rule alone says.
func (a *surroundings) toWrite(ctx context.Context, m sprout.Machine, in provision.DeployInput) ([]sprout.Disk, error) {
	if m.Inventory == nil {
		return nil, nil
	}
	var p api.Plan
	var err error
	if p.Disks, err = a.disksOf(ctx, m); err != nil {
		return nil, err
	}
	overwritten(&p, m, in)
	return named(p, m, api.DiskOverwritten, api.DiskUnsure), nil
}

// toErase are the disks that the plan of a release says are erased.
func (a *surroundings) toErase(ctx context.Context, m sprout.Machine, r api.Releasing) ([]sprout.Disk, error) {
	if !r.Erase || r.Force != "" || m.Inventory == nil {
		return nil, nil
	}
	var p api.Plan
	var err error
	if p.Disks, err = a.disksOf(ctx, m); err != nil {
		return nil, err
	}
	erased(&p, m, r.EraseMethod)
	return named(p, m, api.DiskErased), nil
}

// planRelease says what a release takes from a machine.
func (a *surroundings) planRelease(ctx context.Context, m sprout.Machine, r api.Releasing) (p api.Plan, err error) {
	if p.Becomes = sprout.Ready; r.Force != "" {
		p.Becomes = sprout.Registered
		p.Warnings = append(p.Warnings, "forced: nothing is erased, and the machine is not seen to be switched off; its site does that when it can")
	} else if _, err := sprout.Next(m.State, sprout.Released); err != nil {
		p.Becomes = m.State
	}
	for _, at := range m.Addresses {
		p.Addresses = append(p.Addresses, strings.TrimSpace(fmt.Sprintf("gives back %s %s", at.IP, at.Name)))
	}
	if m.State == sprout.Deployed || m.State == sprout.Rescued {
		p.Destroys = append(p.Destroys, fmt.Sprintf("the running system (%s), which is switched off", m.Image))
	}
	if p.Disks, err = a.disksOf(ctx, m); err != nil {
		return p, err
	}
	switch {
	case r.Force != "":
	case r.Erase && m.Inventory == nil:
		p.Destroys = append(p.Destroys, "everything on every disk")
	case r.Erase:
		erased(&p, m, r.EraseMethod)
	}
	p.Usual, err = a.usualRun(ctx, provision.Release, m)
	return p, err
}

// erased says how each disk is going to be erased. It chooses as the ramdisk does,
// by the last inventory.
func erased(p *api.Plan, m sprout.Machine, only sprout.EraseMethod) {
	for i, d := range m.Inventory.Disks {
		way := sprout.PlanErase(d, only)
		disk := &p.Disks[i]
		switch {
		case way.Kept != "":
			disk.Why = way.Kept
		case way.Refused != "":
			disk.Why = way.Refused
			p.Warnings = append(p.Warnings, fmt.Sprintf("disk %s cannot be erased, so that the machine will not become ready: it %s", d.Name, way.Refused))
		default:
			disk.Fate, disk.Method, disk.Proof = api.DiskErased, way.Methods[0], sprout.EraseProof(d)
			disk.Seconds, disk.Why = way.Takes.Round(time.Second).Seconds(), strings.Join(way.Passed, "; ")
		}
	}
}

// erasable refuses a method that a disk cannot have.
func erasable(m sprout.Machine, r api.Releasing) error {
	switch {
	case r.EraseMethod == "":
		return nil
	case !r.Erase:
		return sprout.InvalidField("eraseMethod", "says how to erase, but erase is not asked for").WithRemedy("%s", "sprout machine release "+m.Name+" --erase="+string(r.EraseMethod))
	case m.Inventory == nil:
		return nil
	}
	for _, d := range m.Inventory.Disks {
		if way := sprout.PlanErase(d, r.EraseMethod); way.Refused != "" {
			return sprout.InvalidField("eraseMethod", "disk %s of machine %s %s", d.Name, m.Name, way.Refused).WithRemedy("sprout machine release %s --erase --plan", m.Name)
		}
	}
	return nil
}

// add adds the plan of a machine to the cost of all. image is what is
// installed; its bytes reach each site once.
func add(c *api.Cost, m sprout.Machine, p api.Plan, image int64) {
	c.Machines++
	if p.Destructive() {
		c.Destructive++
	}
	for _, d := range p.Disks {
		if (d.Fate == api.DiskOverwritten || d.Fate == api.DiskErased) && !d.Empty {
			c.Disks++
			c.Bytes += d.Bytes
		}
	}
	if p.Usual != nil {
		c.Seconds = max(c.Seconds, p.Usual.P50)
	}
	at := siteCost(c, m.SiteName)
	at.Machines++
	at.Traffic += p.Traffic
	if p.Traffic > 0 {
		at.Uplink = image
	}
	if p.Becomes == sprout.Deployed {
		at.Addresses += len(p.Addresses)
	} else {
		at.Addresses -= len(p.Addresses)
	}
}

func siteCost(c *api.Cost, name string) *api.SiteCost {
	for i := range c.Sites {
		if c.Sites[i].Site == name {
			return &c.Sites[i]
		}
	}
	c.Sites = append(c.Sites, api.SiteCost{Site: name})
	return &c.Sites[len(c.Sites)-1]
}
