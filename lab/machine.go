package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sprout"
	"sprout/power"
	"sprout/power/redfish/emulator"
)

// qmpPatience is how long QEMU may take over one command on a busy host.
const qmpPatience = 30 * time.Second

// A machine is a racked machine: QEMU runs while its power is on.
type machine struct {
	spec    Spec
	dir     string
	bridge  netlink.Link
	starter *starter
	environ []string
	bmc     *emulator.BMC // whose override a reset from inside uses
	log     *slog.Logger

	mu     sync.Mutex
	run    *run // nil: off
	starts []power.BootDevice
	closed bool
	watch  sync.WaitGroup
}

var _ emulator.Machine = (*machine)(nil)

// A run is one QEMU process.
type run struct {
	cmd    *exec.Cmd
	qmp    *qmp
	media  bool          // it started with something in the virtual drive
	killed bool          // we ended it: it shall not come back
	done   chan struct{} // closed when the process is gone and the machine knows
	ports  switchPorts
}

// Power tells whether the machine runs. A reset from inside does not show.
func (m *machine) Power() sprout.PowerState {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.run == nil {
		return sprout.PowerOff
	}
	return sprout.PowerOn
}

// PowerOn starts QEMU unless it runs.
func (m *machine) PowerOn(ctx context.Context, boot emulator.Boot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return sprout.Errorf(sprout.Conflict, "cannot power %s on: it is being removed", m.spec.Name)
	case m.run != nil:
		return nil
	}
	return m.start(ctx, boot)
}

// PowerOff kills QEMU and returns when it is gone: to its disks, a cord that is
// pulled.
func (m *machine) PowerOff(context.Context) error {
	m.mu.Lock()
	r := m.run
	if r != nil {
		r.killed = true
		_ = r.cmd.Process.Kill() // gone already is as good
	}
	m.mu.Unlock()
	if r != nil {
		<-r.done
	}
	return nil
}

// Shutdown presses the power button.
func (m *machine) Shutdown(ctx context.Context) error {
	m.mu.Lock()
	r := m.run
	m.mu.Unlock()
	if r == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, qmpPatience)
	defer cancel()
	return r.qmp.execute(ctx, "system_powerdown", nil)
}

// mediaMost is how many bytes an image of virtual media may have.
const mediaMost = 1 << 30

// InsertMedia fetches the image, as a BMC does. A machine that runs sees it at
// its next start.
func (m *machine) InsertMedia(ctx context.Context, url string) error {
	whole := filepath.Join(m.dir, mediaFile)
	f, err := os.CreateTemp(m.dir, mediaFile)
	if err != nil {
		return err
	}
	err = errors.Join(emulator.FetchMedia(ctx, url, f, mediaMost), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), whole)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// EjectMedia takes the image out, also of a machine that runs.
func (m *machine) EjectMedia(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := os.Remove(filepath.Join(m.dir, mediaFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || m.run == nil || !m.run.media {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, qmpPatience)
	defer cancel()
	return m.run.qmp.execute(ctx, "eject", map[string]any{"device": mediaDrive, "force": true})
}

// SetLink plugs the cable of a NIC in or out, while the machine runs.
func (m *machine) SetLink(ctx context.Context, nic int, up bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if nic < 0 || nic >= len(m.spec.NICs) {
		return sprout.Errorf(sprout.NotFound, "cannot find NIC %d of %s: it has %d", nic, m.spec.Name, len(m.spec.NICs))
	}
	m.spec.NICs[nic].NoLink = !up
	if m.run == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, qmpPatience)
	defer cancel()
	return m.run.qmp.execute(ctx, "set_link", map[string]any{"name": nicID(nic), "up": up})
}

// close powers the machine off for good and waits for its goroutines.
func (m *machine) close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	err := m.PowerOff(context.Background())
	m.watch.Wait()
	return err
}

// state returns what is running and what each start so far booted from.
func (m *machine) state() (pid int, starts []power.BootDevice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.run != nil {
		pid = m.run.cmd.Process.Pid
	}
	return pid, append([]power.BootDevice{}, m.starts...)
}

// start runs QEMU with the boot order of this one start. m.mu is held.
func (m *machine) start(ctx context.Context, boot emulator.Boot) error {
	r, err := m.launch(boot.Device)
	if err != nil {
		return fmt.Errorf("cannot power %s on: %w", m.spec.Name, err)
	}
	if err := m.setGoing(ctx, r); err != nil {
		_ = r.cmd.Process.Kill()
		r.qmp.end()
		_ = r.cmd.Wait() // killed
		r.ports.close()
		return fmt.Errorf("cannot power %s on: %w: %s", m.spec.Name, err, tail(filepath.Join(m.dir, qemuLog)))
	}
	m.run, m.starts = r, append(m.starts, boot.Device)
	m.log.Info("power on", "machine", m.spec.Name, "boot", boot.Device, "pid", r.cmd.Process.Pid)
	m.watch.Go(func() { m.await(r) })
	return nil
}

// launch starts the process, stopped before its first instruction.
func (m *machine) launch(device power.BootDevice) (_ *run, err error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close() //nolint:errcheck // it is the child that uses it
	files, ports := []*os.File{theirs}, switchPorts{}
	defer func() {
		if err != nil {
			ports.close()
		}
	}()
	defer func() {
		for _, f := range files[1:] {
			_ = f.Close() // QEMU has its own
		}
	}()
	for i := range m.spec.NICs {
		tap, port, err := newTap(m.bridge, m.spec.Name+"-"+nicID(i))
		if err != nil {
			return nil, errors.Join(err, ours.Close())
		}
		files, ports = append(files, tap), append(ports, port)
	}
	out, err := os.Create(filepath.Join(m.dir, qemuLog))
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	defer out.Close() //nolint:errcheck // it is the child that writes
	_, noMedia := os.Stat(filepath.Join(m.dir, mediaFile))
	cmd := exec.Command(boards[m.spec.Architecture].qemu, arguments(m.spec, device, noMedia == nil)...)
	cmd.Dir, cmd.Env, cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = m.dir, m.environ, files, out, out
	if err := m.starter.start(cmd); err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	return &run{cmd: cmd, qmp: newQMP(ours), media: noMedia == nil, done: make(chan struct{}), ports: ports}, nil
}

// setGoing records the process, pulls the cables that are out, and lets it run.
func (m *machine) setGoing(ctx context.Context, r *run) error {
	pid := strconv.Itoa(r.cmd.Process.Pid)
	if err := os.WriteFile(filepath.Join(m.dir, pidFile), []byte(pid), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, qmpPatience)
	defer cancel()
	if err := r.qmp.execute(ctx, "qmp_capabilities", nil); err != nil {
		return err
	}
	for i, n := range m.spec.NICs {
		if !n.NoLink {
			continue
		}
		if err := r.qmp.execute(ctx, "set_link", map[string]any{"name": nicID(i), "up": false}); err != nil {
			return err
		}
	}
	return r.qmp.execute(ctx, "cont", nil)
}

// await waits for the process to end. After a reset from inside the machine
// starts again, as the BMC then says; after anything else it is off.
func (m *machine) await(r *run) {
	defer close(r.done)
	<-r.qmp.ended
	err := r.cmd.Wait()
	r.ports.close()
	r.qmp.end()
	reason := r.qmp.shutdownReason()

	m.mu.Lock()
	defer m.mu.Unlock()
	m.run = nil
	_ = os.Remove(filepath.Join(m.dir, pidFile)) // a stale one is seen through
	if r.killed || m.closed || reason != "guest-reset" {
		m.log.Info("power off", "machine", m.spec.Name, "reason", reason, "killed", r.killed, "exit", fmt.Sprint(err))
		return
	}
	m.log.Info("reset", "machine", m.spec.Name)
	if err := m.start(context.Background(), m.bmc.TakeBoot()); err != nil {
		m.log.Error("cannot start again after a reset", "machine", m.spec.Name, "err", err)
	}
}

// socketpair makes two connected sockets: one for us, one to give away.
func socketpair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a socket pair: %w", err)
	}
	mine, theirs := os.NewFile(uintptr(fds[0]), "qmp"), os.NewFile(uintptr(fds[1]), "qmp")
	defer mine.Close() //nolint:errcheck // FileConn copies it
	conn, err := net.FileConn(mine)
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return conn, theirs, nil
}

// tail returns the last 2 kB of a file, "" if there is none.
func tail(path string) string {
	const room = 2000
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // only read
	if info, err := f.Stat(); err == nil && info.Size() > room {
		_, _ = f.Seek(-room, io.SeekEnd)
	}
	raw, _ := io.ReadAll(f)
	return string(raw)
}
