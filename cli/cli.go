// Package cli is the command line: one file for each group of commands. It
// turns words into calls of package client and answers into tables, and it
// wires the processes (server, agent, dev, lab). It knows no SQL, no bus and no
// rule about machines: those answer for themselves.
package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"

	"sprout"
	"sprout/client"
)

// Main runs one command line and returns its exit code, one of exitCodes. args
// are without the program's name.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return MainWith(ctx, args, stdin, stdout, stderr, os.Getenv)
}

// MainWith is Main with an environment of its own: two command lines may run in
// one process.
func MainWith(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	e := newEnv(stdin, stdout, stderr)
	e.getenv = getenv
	root := rootCommand(e)
	root.SetArgs(args)
	if err := helpOfNothing(root, args); err != nil {
		return e.fail(err)
	}
	if err := root.ExecuteContext(ctx); err != nil {
		return e.fail(err)
	}
	return 0
}

// An env is what every command shares: the streams, the settings of the global
// flags, and a client that is made when first asked for.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        func() []string

	format  string // table, wide, json or yaml
	jq      string // a jq program for json output
	url     string // --server
	token   string // --token
	ca      string // --ca
	context string // --context
	verbose bool   // --verbose: logs of debug level

	interactive func() bool // somebody can be asked
	columns     int         // of the terminal; 0: as wide as it is

	log       *slog.Logger
	level     *slog.LevelVar
	connected *client.Client
}

func newEnv(stdin io.Reader, stdout, stderr io.Writer) *env {
	level := new(slog.LevelVar)
	return &env{
		interactive: func() bool { return isTerminal(stdin) && isTerminal(stderr) },
		stdin:       stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv, environ: os.Environ,
		level: level, log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})),
	}
}

// errShown is returned by a command that failed and has already said why.
var errShown = errors.New("already shown")

// client returns the connection to the server that flags, environment and
// context file name, in this order.
func (e *env) client() (*client.Client, error) {
	if e.connected != nil {
		return e.connected, nil
	}
	conn, err := e.connection()
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{URL: conn.Server, Token: conn.Token, CA: []byte(conn.CA), UserAgent: "sprout-cli/" + sprout.Version})
	if err != nil {
		return nil, err
	}
	e.connected = c
	return c, nil
}

// isTerminal tells whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// A colour is an ANSI SGR sequence.
type colour string

const (
	red    colour = "\x1b[31m"
	green  colour = "\x1b[32m"
	yellow colour = "\x1b[33m"
	faint  colour = "\x1b[2m"
)

// paint colours text where the stream is a terminal and NO_COLOR is unset.
func (e *env) paint(stream io.Writer, c colour, text string) string {
	if !isTerminal(stream) || e.getenv("NO_COLOR") != "" {
		return text
	}
	return string(c) + text + "\x1b[0m"
}
