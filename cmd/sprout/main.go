// Command sprout is all of Sprout in one binary: the control plane, a site's
// agent, the tools of a laboratory, and the command line that drives them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"sprout/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
