package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"go.etcd.io/bbolt"

	"sprout"
	"sprout/agent"
	"sprout/api"
	"sprout/client"
	"sprout/dev"
	"sprout/server"
	"sprout/sitestore"
)

// The network of the site whose hosts change, and the address in it that the
// asking relay has.
const (
	hostsPrefix = "10.64.0.0/12"
	hostsRelay  = "10.64.0.2"
)

// A plane is the whole product, as `sprout dev` runs it: control plane, bus and a
// site's agent, with hosts that hold an address each, and machines to be deployed.
type plane struct {
	dir      string
	database string
	admin    *client.Client
	agent    agent.Config
	bmc      net.Listener // of all machines: it never answers, so that they stay in the middle of their deployment
	stops    []func() error
}

// openPlane starts it, with so many hosts.
func openPlane(ctx context.Context, hosts, toDeploy int) (_ *plane, err error) {
	p := &plane{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.dir, err = os.MkdirTemp("", "sprout-bench-dhcp-"); err != nil {
		return p, err
	}
	if err := os.Chmod(p.dir, 0o755); err != nil { // PostgreSQL runs as somebody else
		return p, err
	}
	if p.bmc, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return p, err
	}
	if err := p.startServer(ctx); err != nil {
		return p, err
	}
	subnet, err := p.makeSite(ctx)
	if err != nil {
		return p, err
	}
	if err := p.startAgent(ctx); err != nil { // it enrols
		return p, err
	}
	if err := p.stopLast(); err != nil {
		return p, err
	}
	if err := errors.Join(p.fillDatabase(ctx, subnet, hosts, toDeploy), p.fillSite(ctx, subnet, hosts)); err != nil {
		return p, fmt.Errorf("cannot make %d hosts: %w", hosts, err)
	}
	return p, p.startAgent(ctx)
}

// run has f run until p is closed, or the last is stopped.
func (p *plane) run(ctx context.Context, f func(ctx context.Context) error) (ended chan error) {
	ctx, stop := context.WithCancel(ctx)
	ended = make(chan error, 1)
	go func() { ended <- f(ctx) }()
	p.stops = append(p.stops, func() error { stop(); return <-ended })
	return ended
}

func (p *plane) startServer(ctx context.Context) error {
	ready := make(chan dev.Access, 1)
	c := dev.Config{
		Dir: filepath.Join(p.dir, "plane"), Listen: "127.0.0.1:0", BusListen: "127.0.0.1:4222", Log: slog.New(slog.DiscardHandler),
		Change: func(c *server.Config) { p.database = c.Database.URL; c.Limits.TokenRate = -1 },
		Ready:  func(a dev.Access) error { ready <- a; return nil },
	}
	ended := p.run(ctx, func(ctx context.Context) error { return dev.Run(ctx, c) })
	select {
	case err := <-ended:
		ended <- nil
		return fmt.Errorf("cannot start the control plane: %w", err)
	case a := <-ready:
		var err error
		p.agent = agent.Config{
			DataDir: filepath.Join(p.dir, "site"), Server: a.URL, Address: netip.MustParsePrefix("127.0.0.1/8"),
			BootFiles: p.dir, RamdiskDir: p.dir, Log: slog.New(slog.DiscardHandler),
		}
		p.admin, err = client.New(client.Config{URL: a.URL, Token: a.Token})
		return err
	}
}

// makeSite makes the site, its network and an image.
func (p *plane) makeSite(ctx context.Context) (id sprout.SubnetID, err error) {
	var site api.CreateSite
	site.Body.Name = "lon1"
	var network api.CreateNetwork
	network.Body.Site, network.Body.Name, network.Body.CIDR = "lon1", "provisioning", hostsPrefix
	network.Body.Reserved = []string{"10.64.0.1-" + hostsRelay}
	var token api.CreateAgentToken
	token.Body.Site = "lon1"
	if _, err := client.Call(ctx, p.admin, api.SiteCreate, site); err != nil {
		return id, err
	}
	made, err := client.Call(ctx, p.admin, api.NetworkCreate, network)
	if err != nil {
		return id, err
	}
	enrol, err := client.Call(ctx, p.admin, api.AgentTokenCreate, token)
	if err != nil {
		return id, err
	}
	p.agent.Token = enrol.Secret
	const size = 1 << 20
	_, err = p.admin.ImportImage(ctx, api.ImportImage{Name: "bench", Content: bytes.NewReader(make([]byte, size))}, size)
	return made.Subnets[0].ID, err
}

// startAgent runs the site until its agent has said that it is there.
func (p *plane) startAgent(ctx context.Context) error {
	began := time.Now()
	ended := p.run(ctx, func(ctx context.Context) error { return agent.Run(ctx, p.agent) })
	for {
		all, err := client.List(ctx, p.admin, api.AgentList, api.ListOfSite{}, 0)
		if err != nil {
			return err
		}
		if len(all) == 1 && all[0].LastSeen != nil && all[0].LastSeen.After(began) {
			return nil
		}
		select {
		case err := <-ended:
			ended <- nil
			return fmt.Errorf("cannot start the agent: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// fillDatabase makes machines with an interface and an address each, and others
// that are to get one.
func (p *plane) fillDatabase(ctx context.Context, subnet sprout.SubnetID, hosts, toDeploy int) error {
	db, err := pgx.Connect(ctx, p.database)
	if err != nil {
		return err
	}
	defer db.Close(ctx) //nolint:errcheck // nothing is left to write
	for _, sql := range []string{
		fmt.Sprintf(`INSERT INTO machine (site, id, name, state, power, owner, inventory)
		 SELECT s.id, 'mch_' || lpad(n::text, 26, '0'), 'web-' || n, CASE WHEN n < %d THEN 'allocated' ELSE 'deployed' END, 'off', 'bench',
		        '{"disks": [{"name": "sda", "serial": "D1", "bytes": 1920383410176}], "interfaces": []}' FROM site s, generate_series(0, %d) n`, toDeploy, toDeploy+hosts-1),
		`INSERT INTO interface (site, machine, mac, position, name, boot)
		 SELECT site, id, ('5254' || lpad(to_hex(substr(id, 5)::int), 8, '0'))::macaddr, 0, 'eno1', true FROM machine`,
		fmt.Sprintf(`INSERT INTO bmc (site, machine, driver, url, username) SELECT site, id, 'redfish', 'http://%s', 'root' FROM machine`, p.bmc.Addr()),
		fmt.Sprintf(`INSERT INTO address (site, id, subnet, ip, kind, machine, mac, name)
		 SELECT m.site, 'adr_' || substr(m.id, 5), '%s', '10.64.16.0'::inet + substr(m.id, 5)::int - %d, 'machine', m.id, i.mac, m.name || '.lon1.internal'
		 FROM machine m JOIN interface i ON i.machine = m.id WHERE m.state = 'deployed'`, subnet, toDeploy),
		`VACUUM ANALYZE`,
	} {
		if _, err := db.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// fillSite gives the site the same, as if it had heard of it long ago.
func (p *plane) fillSite(ctx context.Context, subnet sprout.SubnetID, hosts int) error {
	s, err := sitestore.Open(filepath.Join(p.agent.DataDir, "site.db"), p.agent.Log)
	if err != nil {
		return err
	}
	err = s.Update(ctx, func(tx *bbolt.Tx) error {
		ip := netip.MustParseAddr("10.64.16.0")
		for n := range hosts {
			m := sprout.SiteMachine{ID: sprout.MachineID(fmt.Sprintf("mch_%026d", toDeploy+n)), Name: fmt.Sprintf("web-%d", toDeploy+n), MACs: []string{hostMAC(toDeploy + n)}, Deployed: true}
			r := sprout.Reservation{MAC: hostMAC(toDeploy + n), IP: ip, Subnet: subnet, Machine: m.ID, Hostname: m.Name + ".lon1.internal"}
			if err := errors.Join(put(tx, "machine", string(m.ID), m), put(tx, "reservation", r.MAC, r)); err != nil {
				return err
			}
			ip = ip.Next()
		}
		return nil
	})
	return errors.Join(err, s.Close())
}

func (p *plane) stopLast() error {
	last := len(p.stops) - 1
	stop := p.stops[last]
	p.stops = p.stops[:last]
	return stop()
}

// close ends what was started, in the reverse order, and removes what it left.
func (p *plane) close() (err error) {
	for len(p.stops) > 0 {
		err = errors.Join(err, p.stopLast())
	}
	if p.bmc != nil {
		err = errors.Join(err, p.bmc.Close())
	}
	if p.dir == "" {
		return err
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}
