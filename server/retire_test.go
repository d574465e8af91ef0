package server_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// A retired machine keeps its record and nothing else: no address, no place at its
// site, and none in lists but for who asks. Who uses a machine keeps it.
func TestARetiredMachineKeepsItsRecordOnly(t *testing.T) {
	p, db := fleet(t, 3)
	f := enrol(t, p, "lon1")
	var network api.CreateNetwork
	network.Body.Site, network.Body.Name, network.Body.CIDR = "lon1", "n1", "10.0.0.0/24"
	must(client.Call(t.Context(), p.admin, api.NetworkCreate, network))(t)
	must(db.Exec(t.Context(), `INSERT INTO address (site, id, subnet, vrf, ip, kind, machine, name)
		SELECT m.site, 'adr_1', b.id, b.vrf, '10.0.0.9', 'machine', m.id, 'm1.lon1.internal' FROM machine m JOIN subnet b USING (site) WHERE m.name = 'm1'`))(t)
	must(db.Exec(t.Context(), `INSERT INTO record (site, name, ip, ttl) SELECT site, 'm1.lon1.internal', '10.0.0.9', 300 FROM machine WHERE name = 'm1'`))(t)
	retire := func(name string) (sprout.Machine, error) {
		return client.Call(t.Context(), p.admin, api.MachineRetire, api.MarkMachine{MachineRef: api.MachineRef{Machine: name}, Body: api.Marking{Reason: "old"}})
	}
	m := must(retire("m1"))(t)
	if m.State != sprout.Retired || len(m.Addresses) != 0 || m.Inventory == nil {
		t.Errorf("it is %s, with %v", m.State, m.Addresses)
	}
	f.await(func(c sprout.Change) bool {
		return c.Kind == sprout.ChangeMachine && c.Key == string(m.ID) && c.Deleted
	})
	var records int
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM record`).Scan(&records); err != nil || records != 0 {
		t.Errorf("%d of its names are left: %v", records, err)
	}
	names := func(states ...sprout.State) (all string) {
		for _, m := range must(client.List(t.Context(), p.admin, api.MachineList, api.ListMachines{MachineMatch: api.MachineMatch{State: states}}, 0))(t) {
			all += m.Name + " "
		}
		return all
	}
	if some, gone := names(), names(sprout.Retired); some != "m2 m3 " || gone != "m1 " {
		t.Errorf("listed are %q, and of those retired %q", some, gone)
	}
	moves := must(client.List(t.Context(), p.admin, api.MachineHistory, api.ListOfMachine{MachineRef: api.MachineRef{Machine: "m1"}}, 0))(t)
	if len(moves) == 0 || moves[0].To != sprout.Retired || moves[0].Detail != "old" {
		t.Errorf("its history is %+v", moves)
	}
	for why, sql := range map[string]string{
		"it is locked": `locked = true`, "it is protected": `protected = true`, "it is allocated": `state = 'allocated'`, "it is deployed": `state = 'deployed'`,
	} {
		must(db.Exec(t.Context(), `UPDATE machine SET locked = false, protected = false, state = 'ready' WHERE name = 'm2'`))(t)
		must(db.Exec(t.Context(), `UPDATE machine SET `+sql+` WHERE name = 'm2'`))(t)
		_, err := retire("m2")
		wantRefusal(t, err, why)
	}
}

// wantRefusal wants a conflict that says why, and what to do.
func wantRefusal(t *testing.T, err error, why string) {
	t.Helper()
	var known *sprout.Error
	if !errors.As(err, &known) || known.Kind != sprout.Conflict || !strings.Contains(err.Error(), why) || known.Remedy == "" {
		t.Errorf("not refused because %s, with the way on: %v", why, err)
	}
}

// A retired machine that boots all the same changes nothing, gets nothing but the
// ramdisk, and is shown.
func TestARetiredMachineThatBootsIsShown(t *testing.T) {
	p, db := fleet(t, 1)
	f := enrol(t, p, "lon1")
	const mac = "52:54:00:00:00:77"
	must(db.Exec(t.Context(), `INSERT INTO interface (site, machine, mac, position) SELECT site, id, $1::macaddr, 0 FROM machine`, mac))(t)
	m := must(client.Call(t.Context(), p.admin, api.MachineRetire, api.MarkMachine{MachineRef: api.MachineRef{Machine: "m1"}, Body: api.Marking{Reason: "old"}}))(t)
	f.await(func(c sprout.Change) bool {
		return c.Kind == sprout.ChangeMachine && c.Key == string(m.ID) && c.Deleted
	})
	found := inventory(mac)
	f.report(sprout.FactDiscovered, "", "", sprout.DiscoveredFact{BootMAC: mac, IP: netip.MustParseAddr("10.0.0.100"), Inventory: found})
	wrong := p.awaitProblem(t, sprout.RetiredBooted)
	if wrong.Subject != string(m.ID) || wrong.Name != "m1" || wrong.Site != m.Site || !strings.Contains(wrong.Evidence, mac) || !strings.Contains(wrong.Remedy, "sprout machine delete m1") {
		t.Errorf("the problem is %+v", wrong)
	}
	now := must(client.Call(t.Context(), p.admin, api.MachineShow, api.MachineRef{Machine: "m1"}))(t)
	if now.State != sprout.Retired || now.Inventory.Serial == found.Serial || len(now.Problems) != 1 {
		t.Errorf("it is %s, with %+v and %+v", now.State, now.Inventory, now.Problems)
	}
	if n := len(must(client.List(t.Context(), p.admin, api.MachineList, api.ListMachines{}, 0))(t)); n != 0 {
		t.Errorf("%d machines are listed", n)
	}
}

// A site says what stands against its end, retired machines too; without that it goes,
// with the workflows that it had.
func TestASiteSaysWhatItStillHas(t *testing.T) {
	p, db := fleet(t, 2)
	var network api.CreateNetwork
	network.Body.Site, network.Body.Name, network.Body.CIDR = "lon1", "n1", "10.0.0.0/24"
	must(client.Call(t.Context(), p.admin, api.NetworkCreate, network))(t)
	must(client.Call(t.Context(), p.admin, api.MachineRetire, api.MarkMachine{MachineRef: api.MachineRef{Machine: "m2"}, Body: api.Marking{Reason: "old"}}))(t)
	remove := func() error {
		_, err := client.Call(t.Context(), p.admin, api.SiteDelete, api.SiteRef{Site: "lon1"})
		return err
	}
	err := remove()
	wantRefusal(t, err, "machines, 2 in all: m1 (ready), m2 (retired); networks, 1 in all: n1")
	var known *sprout.Error
	if errors.As(err, &known) && known.Remedy != "sprout machine delete lon1/m1 lon1/m2; sprout network delete lon1/n1; then again" {
		t.Errorf("what helps is %q", known.Remedy)
	}
	must(client.Call(t.Context(), p.admin, api.NetworkDelete, api.NetworkRef{Network: "n1"}))(t)
	for _, name := range []string{"m1", "m2"} {
		must(client.Call(t.Context(), p.admin, api.MachineDelete, api.MachineRef{Machine: "lon1/" + name}))(t)
	}
	must(db.Exec(t.Context(), `INSERT INTO workflow (site, id, kind, actor, state, version, run, created_at) SELECT id, 'wfl_1', 'deploy', 'admin', 'succeeded', 1, '{}', now() FROM site`))(t)
	if err := remove(); err != nil {
		t.Error(err)
	}
}
