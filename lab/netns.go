package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sprout"
)

// netnsPath is where ip-netns(8) looks for a namespace by name.
func netnsPath(name string) string { return filepath.Join("/run/netns", name) }

// buildNetwork makes the site's network in the namespace that this process was
// started in: loopback, and a bridge with the site's address.
func buildNetwork(c Config) (netlink.Link, error) {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot bring loopback up: %w", err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = BridgeName, bridgeMAC(c)
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return nil, fmt.Errorf("cannot make bridge %s: %w", BridgeName, err)
	}
	bridge, err := netlink.LinkByName(BridgeName)
	if err != nil {
		return nil, fmt.Errorf("cannot find bridge %s: %w", BridgeName, err)
	}
	if err := giveAddresses(bridge, c.Address, c.Address6); err != nil {
		return nil, err
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return nil, fmt.Errorf("cannot bring bridge %s up: %w", BridgeName, err)
	}
	return bridge, nil
}

// bridgeMAC is the bridge's own. Without one it takes that of a machine that is on,
// and has none while all are off: its agent could not ask who has an address then.
func bridgeMAC(c Config) net.HardwareAddr {
	a := c.Address.Addr()
	if !a.IsValid() {
		a = c.Address6.Addr()
	}
	raw := a.AsSlice()
	return append(net.HardwareAddr{0x02, 0x53}, raw[len(raw)-4:]...) // administered locally
}

// giveAddresses gives the bridge its addresses, to be used at once: nobody else
// is on its wire to have them.
func giveAddresses(bridge netlink.Link, addresses ...netip.Prefix) error {
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+BridgeName+"/accept_dad", []byte("0"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot spare bridge %s the look for its own addresses: %w", BridgeName, err)
	}
	for _, a := range addresses {
		if !a.IsValid() {
			continue
		}
		addr, err := netlink.ParseAddr(a.String())
		if err != nil {
			return fmt.Errorf("cannot read address %s: %w", a, err)
		}
		if err := netlink.AddrAdd(bridge, addr); err != nil {
			return fmt.Errorf("cannot give %s to bridge %s: %w", a, BridgeName, err)
		}
	}
	return nil
}

// nameNetns gives this process's network namespace its name, as ip-netns(8)
// does, and marks it as ours. A name that is taken is a Conflict.
func nameNetns(c Config) error {
	path := netnsPath(c.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot name the network namespace: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if errors.Is(err, os.ErrExist) {
		return netnsTaken(c.Name)
	}
	if err != nil {
		return fmt.Errorf("cannot name the network namespace: %w", err)
	}
	_ = f.Close() // empty, and only a place to mount on
	err = os.WriteFile(netnsMark(c.Dir), []byte(identity("/proc/self/ns/net")), 0o600)
	if err == nil {
		err = unix.Mount("/proc/self/ns/net", path, "", unix.MS_BIND, "")
	}
	if err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("cannot name the network namespace %s: %w", c.Name, err)
	}
	return nil
}

func netnsTaken(name string) error {
	return sprout.Errorf(sprout.Conflict, "cannot make network namespace %s: another lab or program has it", name).
		WithRemedy("sprout lab up --name OTHER; or, if nothing uses it: ip netns delete %s", name)
}

// netnsMark is the file that says which namespace was the lab's.
func netnsMark(dir string) string { return filepath.Join(dir, "netns") }

// identity is a namespace file's device and inode, "" if it is not there.
func identity(path string) string {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// unnameNetns takes the name away, if it still is that of the lab's namespace.
// The namespace itself ends with its last process.
func unnameNetns(c Config) error {
	path := netnsPath(c.Name)
	mark, err := os.ReadFile(netnsMark(c.Dir))
	if err != nil || string(mark) != identity(path) {
		return nil // never named, or not ours
	}
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("cannot remove network namespace %s: %w", c.Name, err)
	}
	if err := errors.Join(os.Remove(path), os.Remove(netnsMark(c.Dir))); err != nil {
		return fmt.Errorf("cannot remove network namespace %s: %w", c.Name, err)
	}
	return nil
}

// inNetns calls do with the calling thread in the namespace of file. A thread
// that cannot be brought back ends with its goroutine.
func inNetns(file *os.File, do func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			result <- err
			return
		}
		defer home.Close() //nolint:errcheck // only read
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			result <- err
			return
		}
		err = do()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// dialHost connects from the host's network namespace to a numeric address.
func dialHost(ctx context.Context, host *os.File, address string) (net.Conn, error) {
	var conn net.Conn
	err := inNetns(host, func() error {
		var d net.Dialer
		var err error
		conn, err = d.DialContext(ctx, "tcp", address)
		return err
	})
	return conn, err
}

// newTap makes a tap on the bridge, which says by LLDP who it is. It lives as long
// as somebody holds the file.
func newTap(bridge netlink.Link, alias string) (*os.File, *switchPort, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open /dev/net/tun: %w", err)
	}
	tap := os.NewFile(uintptr(fd), "tap")
	index, err := attachTap(fd, bridge, alias)
	if err != nil {
		_ = tap.Close()
		return nil, nil, fmt.Errorf("cannot make a tap for %s: %w", alias, err)
	}
	port, err := openSwitchPort(index, alias)
	if err != nil {
		_ = tap.Close()
		return nil, nil, err
	}
	return tap, port, nil
}

// noAddress is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h: a tap has no address of
// its own, so that nothing but the machines and the bridge speaks on the wire.
const noAddress = 1

// attachTap returns the index of the tap.
func attachTap(fd int, bridge netlink.Link, alias string) (int, error) {
	request, err := unix.NewIfreq("tap%d") // the kernel counts
	if err != nil {
		return 0, err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return 0, err
	}
	link, err := netlink.LinkByName(request.Name())
	if err != nil {
		return 0, err
	}
	return link.Attrs().Index, errors.Join(
		netlink.LinkSetAlias(link, alias),
		netlink.LinkSetIP6AddrGenMode(link, noAddress),
		netlink.LinkSetMaster(link, bridge),
		netlink.LinkSetUp(link))
}

// ErrNoLab is wrapped by errors of calls to a lab that does not run.
var ErrNoLab = errors.New("the lab does not run")

// Enter replaces this process by argv, run in the network namespace of the lab
// named name.
func Enter(name string, argv []string) error {
	file, err := os.Open(netnsPath(name))
	if err != nil {
		return sprout.Errorf(sprout.NotFound, "cannot enter lab %s: %w", name, ErrNoLab).WithRemedy("sprout lab up")
	}
	path, err := lookPath(argv)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // exec keeps the calling thread's namespace
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("cannot enter network namespace %s: %w", name, err)
	}
	return unix.Exec(path, argv, os.Environ())
}
