// Command sprout-ramdisk is /init of the ramdisk: process 1 of a machine that
// Sprout has booted into memory.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"sprout"
	"sprout/hwtest/builtin"
	"sprout/ramdisk"
	"sprout/ramdisk/kexec"
	"sprout/ramdisk/system"
)

// restartAfter is how long a failure stays on the console before the machine
// tries again from its firmware.
const restartAfter = 60 * time.Second

// linkWait is how long after the boot port has its address the other ports may
// take to find a link.
const linkWait = 6 * time.Second

// switchWait is how long after its start a switch may take to say by LLDP where a
// cable leads: one that is not asked says it every 30 s.
const switchWait = 31 * time.Second

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "sprout-ramdisk "+sprout.Version+" is /init of the ramdisk: boot it, do not run it")
		os.Exit(2)
	}
	log := slog.New(slog.NewTextHandler(os.Stdout, nil))
	err := system.Mount()
	if err == nil {
		var console *slog.Logger
		if console, err = system.Console(); err == nil {
			log = console
			err = run(context.Background(), log)
		}
	}
	log.Error("the ramdisk cannot go on; restarting the machine", "error", err, "in", restartAfter)
	time.Sleep(restartAfter)
	log.Error("cannot restart", "error", system.Reboot(log))
	select {} // process 1 must not end
}

// bootID is the kernel's own name of this boot (Linux, Documentation/admin-guide/sysctl/kernel.rst).
func bootID() string {
	raw, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without one a restart cannot be told from a hello that is said twice
	return strings.TrimSpace(string(raw))
}

// run does all that this boot is for; it returns only with an error.
func run(ctx context.Context, log *slog.Logger) error {
	log.Info("the ramdisk runs", "version", sprout.Version)
	cmdline, err := system.ReadCmdline()
	if err != nil {
		return err
	}
	url, err := cmdline.AgentURL()
	if err != nil {
		return err
	}
	modules, err := system.ReadModules(log)
	if err != nil {
		return err
	}
	watching := make(chan error, 1)
	ready := make(chan struct{})
	go func() { watching <- modules.Watch(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-watching:
		return err
	}
	seeded := make(chan error, 1)
	go func() { seeded <- system.Seed() }()
	modules.Coldplug()
	if err := <-seeded; err != nil {
		return fmt.Errorf("cannot seed random numbers: %w", err)
	}
	neighbours, err := system.ListenLLDP(ctx, log)
	if err != nil {
		return err
	}
	switchesUntil := time.Now().Add(switchWait)
	port, err := system.Connect(ctx, cmdline, log)
	if err != nil {
		return err
	}
	go port.Keep(ctx) // as long as this boot
	linksUntil := time.Now().Add(linkWait)
	agent := &ramdisk.Agent{
		Client:  &ramdisk.Client{URL: url, Token: cmdline["sprout.token"], HTTP: &http.Client{}, Log: log},
		BootMAC: port.MAC, Boot: bootID(), Tests: builtin.Provider{}, Log: log,
		Settle: modules.Settle, Mount: modules.MountTools, BMC: modules.BMC,
		Links: func(ctx context.Context) {
			if err := system.WaitLinks(ctx, linksUntil, log); err != nil {
				log.Warn("cannot wait for links", "error", err)
			}
		},
	}
	agent.Drivers = func(root string) error {
		modules.Load(system.FileSystems...)
		return modules.LoadFrom(root, "raid1", "dm_mod")
	}
	agent.Kexec = func(_ context.Context, disk string) (string, error) {
		modules.Load(system.FileSystems...)
		return kexec.Load("/dev", disk)
	}
	agent.Shell = shells(port, modules, log)
	agent.Neighbours = func(ctx context.Context) []sprout.Neighbour { return neighbours.Heard(ctx, switchesUntil) }
	if kernel, err := system.OpenKernelLog(); err == nil {
		agent.Console = kernel.News
	} else {
		log.Warn("what the kernel warns of is not reported", "error", err)
	}
	last, err := agent.Run(ctx)
	if err != nil {
		return err
	}
	if last == sprout.OrderPowerOff {
		return system.PowerOff(log)
	}
	if agent.Loaded() {
		log.Error("cannot start the kernel that is loaded", "error", system.Kexec(log))
	}
	return system.Reboot(log)
}
