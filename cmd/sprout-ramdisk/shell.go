package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"

	"sprout"
	"sprout/ramdisk/sshd"
	"sprout/ramdisk/system"
)

// busybox is the shell of the ramdisk, and all its commands.
const busybox = "/bin/busybox"

// shells lets in by SSH, one set of keys at a time.
func shells(port *system.Port, modules *system.Modules, log *slog.Logger) func(context.Context, []string) (sprout.Shell, error) {
	var stop context.CancelFunc
	var ended chan struct{}
	return func(ctx context.Context, keys []string) (shell sprout.Shell, err error) {
		if stop != nil {
			stop()
			<-ended
			stop = nil
		}
		at, err := port.Address()
		if err != nil {
			return shell, err
		}
		modules.Load(system.FileSystems...) // mount asks for them where nobody answers
		if out, err := exec.CommandContext(ctx, busybox, "--install", "-s", "/bin").CombinedOutput(); err != nil {
			return shell, fmt.Errorf("this ramdisk has no shell: %w: %s", err, out)
		}
		if err := os.MkdirAll("/root", 0o700); err != nil {
			return shell, fmt.Errorf("cannot make a home: %w", err)
		}
		server, err := sshd.Listen(":22", sshd.Config{
			Keys: keys, Command: []string{busybox, "sh"}, Dir: "/root", Log: log,
			Env: []string{"PATH=/bin", "HOME=/root", "USER=root", "SHELL=/bin/sh", "PS1=rescue \\w # "},
		})
		if err != nil {
			return shell, err
		}
		serving, cancel := context.WithCancel(context.WithoutCancel(ctx)) // past this order
		over := make(chan struct{})
		stop, ended = cancel, over
		go func() { defer close(over); server.Serve(serving) }()
		return sprout.Shell{User: "root", Address: at.String(), HostKey: server.HostKey()}, nil
	}
}
