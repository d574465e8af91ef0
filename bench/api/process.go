package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"sprout/bench"
)

// serverRSS is the memory of the server process as it is, in megabytes.
func serverRSS(ctx context.Context, g *ground) (bench.Line, error) {
	if _, err := g.lastPage(ctx); err != nil { // once through the list, should this run alone
		return bench.Line{}, err
	}
	if _, err := g.rate(ctx, func(id string) error { _, err := g.get(ctx, "/v1/machines/"+id); return err })(); err != nil {
		return bench.Line{}, err
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.server.Process.Pid))
	if err != nil {
		return bench.Line{}, err
	}
	for line := range bytes.Lines(raw) {
		if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == "VmRSS:" {
			kib, err := strconv.ParseFloat(string(fields[1]), 64)
			return bench.Line{Sprout: kib / 1024, Other: 400}, err
		}
	}
	return bench.Line{}, fmt.Errorf("the kernel tells no VmRSS")
}

// cliStart is how long a command takes that does nothing, from start to exit.
func cliStart(ctx context.Context, g *ground) (bench.Line, error) {
	var all []float64
	for range turns {
		took, err := milliseconds(exec.CommandContext(ctx, g.binary, "--help").Run)()
		if err != nil {
			return bench.Line{}, err
		}
		all = append(all, took)
	}
	return bench.Line{Sprout: median(all), Other: 50}, nil
}
