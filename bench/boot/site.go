package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/agent"
	"sprout/api"
	"sprout/bench"
	"sprout/client"
	"sprout/dev"
	"sprout/provision"
	control "sprout/server"
	"sprout/sitestore"
	"sprout/wan"
	"sprout/workflow"
)

// A centred is a whole site: a control plane, the link to it, and the agent in a
// process of its own, with machines that are about to be installed.
type centred struct {
	dir    string
	config agent.Config
	link   wan.Relays
	agent  *bench.Process
	stop   func() error // the control plane
	boots  []boots
}

// boots is a machine with what it needs to ask.
type boots struct {
	booting
	metadata string // path
}

// siteAddress is the agent's; the machines of the storm are in its network.
var siteAddress = netip.MustParsePrefix("127.30.0.1/16")

// loader is what every machine fetches: of the size of undionly.kpxe.
const (
	loader     = "undionly.kpxe"
	loaderSize = 70_000
)

// serveSite runs the agent until it is told to stop.
func serveSite(ctx context.Context, file string) error {
	var c agent.Config
	raw, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		return err
	}
	c.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return agent.Run(ctx, c)
}

// openSite starts it all. The agent enrols, is given its machines as if it had
// heard of them long ago, and starts again.
func openSite(ctx context.Context, dir string) (_ *centred, err error) {
	s := &centred{dir: dir, stop: func() error { return nil }}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	files := filepath.Join(dir, "boot")
	if err := os.Mkdir(files, 0o755); err != nil {
		return s, err
	}
	for _, name := range []string{loader, "snponly.efi", "vmlinuz", "initrd"} {
		if err := os.WriteFile(filepath.Join(files, name), make([]byte, loaderSize), 0o644); err != nil {
			return s, err
		}
	}
	s.config = agent.Config{
		DataDir: filepath.Join(dir, "site"), Address: siteAddress, Name: "bench", BootFiles: files, RamdiskDir: files,
		Ports: agent.Ports{DHCP: 6780, DHCPClient: 6781, TFTP: 6782, HTTP: 6783, DNS: 6784}, Status: "127.0.0.1:6785",
	}
	admin, err := s.startPlane(ctx)
	if err != nil {
		return s, err
	}
	subnet, err := s.makeSite(ctx, admin)
	if err != nil {
		return s, err
	}
	if err := s.startAgent(ctx); err != nil {
		return s, err
	}
	s.agent.Stop()
	if err := s.fill(ctx, subnet); err != nil {
		return s, fmt.Errorf("cannot make the site's machines: %w", err)
	}
	return s, s.startAgent(ctx)
}

// startPlane runs the control plane in this process, behind the link.
func (s *centred) startPlane(ctx context.Context) (*client.Client, error) {
	ready := make(chan dev.Access, 1)
	c := dev.Config{
		Dir: filepath.Join(s.dir, "plane"), Listen: "127.0.0.1:0", BusListen: "127.0.0.1:6786", Log: slog.New(slog.DiscardHandler),
		Change: func(c *control.Config) { c.Limits.TokenRate = -1 },
		Ready:  func(a dev.Access) error { ready <- a; return nil },
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- dev.Run(running, c) }()
	s.stop = func() error { stop(); return <-ended }
	select {
	case err := <-ended:
		ended <- nil
		return nil, fmt.Errorf("cannot start the control plane: %w", err)
	case a := <-ready:
		for _, to := range []string{strings.TrimPrefix(a.URL, "http://"), c.BusListen} {
			relay, err := wan.Listen("127.0.0.1:0", wan.Weather{}, 0, nil)
			if err != nil {
				return nil, err
			}
			relay.Lead(to)
			s.link = append(s.link, relay)
		}
		s.config.Server, s.config.Bus = "http://"+s.link[0].Address(), "nats://"+s.link[1].Address()
		return client.New(client.Config{URL: a.URL, Token: a.Token})
	}
}

// makeSite makes the site, its network, and the token by which the agent enrols.
func (s *centred) makeSite(ctx context.Context, admin *client.Client) (id sprout.SubnetID, err error) {
	var site api.CreateSite
	site.Body.Name, site.Body.Domain = "lon1", siteDomain
	var network api.CreateNetwork
	network.Body.Site, network.Body.Name, network.Body.CIDR = "lon1", "provisioning", siteAddress.Masked().String()
	var token api.CreateAgentToken
	token.Body.Site = "lon1"
	if _, err := client.Call(ctx, admin, api.SiteCreate, site); err != nil {
		return id, err
	}
	made, err := client.Call(ctx, admin, api.NetworkCreate, network)
	if err != nil {
		return id, err
	}
	enrol, err := client.Call(ctx, admin, api.AgentTokenCreate, token)
	s.config.TokenFile = filepath.Join(s.dir, "token")
	return made.Subnets[0].ID, errors.Join(err, os.WriteFile(s.config.TokenFile, []byte(enrol.Secret), 0o600))
}

// startAgent starts it, until it is in touch with the control plane and holds all
// that is known of its site.
func (s *centred) startAgent(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	raw, err := json.Marshal(s.config)
	file := filepath.Join(s.dir, "agent.json")
	if err := errors.Join(err, os.WriteFile(file, raw, 0o600)); err != nil {
		return err
	}
	s.agent, err = bench.Start("agent", func() error {
		now, err := s.status(ctx)
		if err == nil && (!now.Connected || now.Applied == 0) {
			err = fmt.Errorf("it is not in touch with the control plane")
		}
		return err
	}, self, "--site", file)
	return err
}

// status is what the agent says of itself.
func (s *centred) status(ctx context.Context) (now agent.Status, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.config.Status+"/healthz", nil)
	if err != nil {
		return now, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return now, err
	}
	defer answer.Body.Close()
	err = json.NewDecoder(answer.Body).Decode(&now)
	return now, err
}

// connected waits until the agent knows that the link is there, or that it is not.
func (s *centred) connected(ctx context.Context, want bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		now, err := s.status(ctx)
		if err != nil || now.Connected == want {
			return err
		}
		if err := sprout.Pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// fill gives the site its machines: each with an address, an intent to deploy, and
// the run of a deploy that waits for its host to say that it runs.
func (s *centred) fill(ctx context.Context, subnet sprout.SubnetID) error {
	store, err := sitestore.Open(filepath.Join(s.config.DataDir, "site.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	expires := time.Now().Add(time.Hour)
	for i, b := range stormers() {
		m := sprout.SiteMachine{ID: sprout.MachineID(fmt.Sprintf("mch_%026d", i)), Name: fmt.Sprintf("web-%d", i), MACs: []string{b.mac}}
		in := sprout.Intent{
			Machine: m.ID, Attempt: sprout.NewID[sprout.AttemptID](sprout.PrefixAttempt), Purpose: provision.Deploy,
			Token: sprout.NewSecret(), HomeToken: sprout.NewSecret(), MetadataToken: sprout.NewSecret(), ExpiresAt: expires,
		}
		run, err := deploying(m, in, expires)
		if err != nil {
			return errors.Join(err, store.Close())
		}
		err = store.Create(ctx, run, func(_ context.Context, tx *bbolt.Tx) error {
			r := sprout.Reservation{MAC: b.mac, IP: b.ip, Subnet: subnet, Machine: m.ID}
			return errors.Join(put(tx, "machine", string(m.ID), m), put(tx, "reservation", b.mac, r), store.SetIntent(tx, in))
		})
		if err != nil {
			return errors.Join(err, store.Close())
		}
		s.boots = append(s.boots, boots{b, fmt.Sprintf("/metadata/%s/%s/", in.Attempt, in.MetadataToken)})
	}
	return store.Close()
}

// deploying is the run of a machine whose image is written.
func deploying(m sprout.SiteMachine, in sprout.Intent, until time.Time) (run workflow.Run, err error) {
	work := sprout.Work{ID: "wfl_" + m.Name + "/1", Kind: provision.Deploy, Machine: m.ID, Generation: 1, Deadline: until}
	if work.Input, err = json.Marshal(sprout.DeployWork{Hostname: m.Name + "." + siteDomain, Metadata: sprout.MetadataHTTP}); err != nil {
		return run, err
	}
	input, err := json.Marshal(provision.SiteInput{Machine: m.ID, Work: work})
	now := time.Now()
	return workflow.Run{
		ID: work.ID, Kind: provision.Deploy, State: sprout.Running, StepName: "phone-home", Attempt: 1, StepStarted: now, StepDeadline: until,
		Deadline: until, Wait: &sprout.Wait{For: "the installed system to report", Since: now, Until: until}, WaitSignal: provision.SignalPhoneHome, NextAt: until, Input: input, Data: fmt.Appendf(nil, `{"attempt":%q}`, in.Attempt), CreatedAt: now,
	}, err
}

func put(tx *bbolt.Tx, table, key string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Bucket([]byte(table)).Put([]byte(key), raw)
}

func (s *centred) close() error {
	s.agent.Stop()
	for _, r := range s.link {
		r.Close()
	}
	return s.stop()
}

// metadata has the machine's system ask what it is.
func (s *centred) metadata(m boots) error {
	answer, err := http.Get("http://" + s.at(s.config.Ports.HTTP) + m.metadata + "nocloud/vendor-data")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || !strings.Contains(string(text), siteDomain)) {
		err = fmt.Errorf("%s got %s: %s", m.mac, answer.Status, text)
	}
	return err
}

// at is where the agent serves, by the port.
func (s *centred) at(port uint16) string {
	return net.JoinHostPort(siteAddress.Addr().String(), fmt.Sprint(port))
}
