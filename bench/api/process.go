package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// serverRSS is the memory of the server process as it is, in megabytes.
func serverRSS(ctx context.Context, g *ground) (result, error) {
	if _, err := g.lastPage(ctx); err != nil { // once through the list, should this run alone
		return result{}, err
	}
	if _, err := g.rate(ctx, func(id string) error { _, err := g.get(ctx, "/v1/machines/"+id); return err })(); err != nil {
		return result{}, err
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.server.Process.Pid))
	if err != nil {
		return result{}, err
	}
	for line := range bytes.Lines(raw) {
		if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == "VmRSS:" {
			kib, err := strconv.ParseFloat(string(fields[1]), 64)
			return result{sprout: kib / 1024, other: 400}, err
		}
	}
	return result{}, fmt.Errorf("the kernel tells no VmRSS")
}

// cliStart is how long a command takes that does nothing, from start to exit.
func cliStart(ctx context.Context, g *ground) (result, error) {
	var all []float64
	for range turns {
		took, err := milliseconds(exec.CommandContext(ctx, g.binary, "--help").Run)()
		if err != nil {
			return result{}, err
		}
		all = append(all, took)
	}
	return result{sprout: median(all), other: 50}, nil
}
