package ramdisk

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"sprout"
	"sprout/hwtest"
	"sprout/hwtest/script"
)

// mostSaid bounds what the results of one order say altogether, in bytes: a report
// and the fact that is made of it must fit a message.
const mostSaid = 256 << 10

// bound takes away what tests have said where all of it is too much: first of
// those that passed.
func bound(results []sprout.TestResult) {
	said := 0
	for _, r := range results {
		said += len(r.Output)
	}
	for _, passed := range []bool{true, false} {
		for i := range results {
			if r := &results[i]; said > mostSaid && (r.Outcome == sprout.Passed) == passed {
				said -= len(r.Output)
				r.Output = ""
			}
		}
	}
}

// fetchTests brings the executables that were ordered, and their tools if one of
// them needs any. What cannot be had fails on every device, and says why.
func (a *Agent) fetchTests(ctx context.Context, order sprout.TestOrder) []hwtest.Test {
	var all []hwtest.Test
	for _, run := range order.Runs {
		f, err := a.fetchTest(ctx, run, order.Tools)
		if err != nil {
			a.Log.Error("a test cannot be run", "test", run.Test.Name, "why", err)
			all = append(all, script.Missing(run, err.Error()))
			continue
		}
		all = append(all, f.Test())
	}
	return all
}

func (a *Agent) fetchTest(ctx context.Context, run sprout.TestRun, tools *sprout.Tools) (script.File, error) {
	f := script.File{Run: run}
	var content bytes.Buffer
	if err := a.fetch(ctx, &content, "test "+run.Test.Name, sprout.TestPath+run.Test.Digest, run.Test.Digest, run.Test.Bytes); err != nil {
		return f, err
	}
	if len(run.Test.Needs) > 0 || bytes.HasPrefix(content.Bytes(), []byte("#!")) {
		root, err := a.mounted(ctx, tools)
		if err != nil {
			return f, err
		}
		f.Root = root
	}
	dir, err := os.MkdirTemp(filepath.Join("/", f.Root, "tmp"), "file-*")
	if err != nil {
		return f, err
	}
	name := filepath.Join(dir, run.Test.Name)
	f.Name = filepath.Join("/tmp", filepath.Base(dir), run.Test.Name) // as it is seen in the tree
	return f, os.WriteFile(name, content.Bytes(), 0o700)
}

// fetch writes a file of the agent's to w and holds it to its digest.
func (a *Agent) fetch(ctx context.Context, w io.Writer, what, url, digest string, size int64) error {
	src := newSource(ctx, a.Client, what, url, size, a.Log)
	defer src.Close()
	if _, err := io.Copy(w, src); err != nil {
		return err
	}
	if got := src.digest(); got != digest {
		return sprout.Fail(sprout.DigestMismatch, what+" is not what it should be", fmt.Sprintf("expected %s, found %s", digest, got))
	}
	return nil
}

// mounted fetches and mounts the tests' tools, once in a boot.
func (a *Agent) mounted(ctx context.Context, tools *sprout.Tools) (string, error) {
	return a.mountTools(ctx, tools, "the tests' tools", "tools.squashfs", sprout.ToolsPath)
}

// layoutTools fetches and mounts what layouts are made with, and loads the drivers.
func (a *Agent) layoutTools(ctx context.Context, tools *sprout.Tools) (string, error) {
	root, err := a.mountTools(ctx, tools, "the tools of layouts", "layout.squashfs", sprout.LayoutToolsPath)
	if err != nil {
		return "", err
	}
	if a.Drivers == nil {
		return "", fmt.Errorf("it needs drivers, and this ramdisk cannot load any")
	}
	return root, a.Drivers(root)
}

// mountTools fetches and mounts a file of tools, once in a boot.
func (a *Agent) mountTools(ctx context.Context, tools *sprout.Tools, what, file, url string) (string, error) {
	switch {
	case tools == nil:
		return "", fmt.Errorf("it needs programs, and the site has none: put %s beside the ramdisk (sprout ramdisk build --tools)", file)
	case tools.Architecture != "" && string(tools.Architecture) != runtime.GOARCH:
		return "", fmt.Errorf("it needs programs, and those that the site has are for %s, not for %s", tools.Architecture, runtime.GOARCH)
	case a.Mount == nil:
		return "", fmt.Errorf("it needs programs, and this ramdisk cannot mount any")
	}
	if root, ok := a.tools[tools.Digest]; ok {
		return root, nil
	}
	f, err := os.CreateTemp("", "tools-*.squashfs")
	if err != nil {
		return "", err
	}
	a.Log.Info("fetching "+what, "bytes", tools.Bytes)
	err = a.fetch(ctx, f, what, url, tools.Digest, tools.Bytes)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it would take up memory
		return "", err
	}
	root, err := a.Mount(f.Name())
	if err != nil {
		return "", err
	}
	if a.tools == nil {
		a.tools = map[string]string{}
	}
	a.tools[tools.Digest] = root
	return root, nil
}
