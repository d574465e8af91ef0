package server_test

import (
	"errors"
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
