package ramdisk

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"time"

	"sprout"
)

const (
	// sourceTries is how often in a row a download may fail without a byte
	// gained.
	sourceTries = 8
	// stallAfter is how long a download may be silent before it is resumed.
	stallAfter = 20 * time.Second
)

// A source reads an image, or another file, from the agent, over as many requests as it takes,
// and hashes it. A read fails with a *sprout.Failure.
type source struct {
	ctx    context.Context
	client *Client
	what   string // it is, in words
	url    string
	total  int64
	log    *slog.Logger

	waits func(string) // told what the download waits for; empty: it goes on

	hash   hash.Hash
	at     int64
	turn   string // what it waits for
	failed int
	body   io.ReadCloser
	stall  *time.Timer
	cancel context.CancelFunc
}

func newSource(ctx context.Context, c *Client, what, url string, total int64, log *slog.Logger) *source {
	return &source{ctx: ctx, client: c, what: what, url: url, total: total, log: log, hash: sha256.New(), waits: func(string) {}}
}

// await waits until the bytes come: until it is this machine's turn. It fails as
// Read does.
func (s *source) await() error {
	for s.body == nil && s.at < s.total {
		if err := s.open(); err != nil {
			if err := s.again(err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *source) digest() string { return fmt.Sprintf("sha256:%x", s.hash.Sum(nil)) }

func (s *source) Read(p []byte) (int, error) {
	for {
		n, err := s.read(p)
		if n > 0 {
			s.hash.Write(p[:n])
			s.at += int64(n)
			s.failed = 0
			return n, nil
		}
		if s.at >= s.total {
			return 0, io.EOF
		}
		if err == nil {
			continue
		}
		if err := s.again(err); err != nil {
			return 0, err
		}
	}
}

// read reads of the open request, or opens one.
func (s *source) read(p []byte) (int, error) {
	if s.at >= s.total {
		return 0, io.EOF
	}
	if s.body == nil {
		if err := s.open(); err != nil {
			return 0, err
		}
	}
	s.stall.Reset(stallAfter)
	n, err := s.body.Read(p[:min(int64(len(p)), s.total-s.at)])
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // unless all of it was read, which Read sees
	}
	return n, err
}

func (s *source) open() error {
	ctx, cancel := context.WithCancel(s.ctx)
	s.cancel = cancel
	s.stall = time.AfterFunc(stallAfter, cancel)
	resp, err := s.client.Image(ctx, s.url, s.at, s.told) //nolint:bodyclose // Close does it, and again calls it
	if err != nil {
		return err
	}
	s.body = resp.Body
	s.say("")
	if resp.StatusCode == http.StatusOK && s.at > 0 {
		_, err = io.CopyN(io.Discard, resp.Body, s.at) // a server without ranges
	}
	return err
}

// told takes the agent's word that others download: it lives, and this machine
// has lost nothing by waiting.
func (s *source) told(turn sprout.Turn) {
	s.stall.Reset(stallAfter)
	s.failed = 0
	s.say(turn.String())
}

// say tells what the download waits for, where that is news.
func (s *source) say(waitsFor string) {
	if waitsFor == s.turn {
		return
	}
	if waitsFor != "" {
		s.log.Info("waiting for " + waitsFor)
	} else {
		s.log.Info("it is this machine's turn to download")
	}
	s.turn = waitsFor
	s.waits(waitsFor)
}

// again closes the failed request and waits for the next try, or says that
// there is none. A machine that waits for its turn tries for as long as it takes:
// whether it is still wanted is for its site to say.
func (s *source) again(err error) error {
	s.Close()
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	if s.failed++; s.failed >= sourceTries && s.turn == "" || Refused(err) {
		return sprout.Fail(sprout.ImageUnavailable, s.what+" could not be read from the site's agent: "+err.Error(),
			fmt.Sprintf("%s%s: %d of %d bytes had, %d tries in a row without one more", s.client.URL, s.url, s.at, s.total, s.failed))
	}
	pause := lastPause
	if s.failed < sourceTries {
		pause = min(firstPause<<(s.failed-1), lastPause)
	}
	s.log.Warn("a download was cut; resuming", "what", s.what, "at", s.at, "of", s.total, "error", err, "in", pause)
	return sprout.Pause(s.ctx, pause)
}

// Close ends the open request, if any; reading on opens another.
func (s *source) Close() {
	if s.stall != nil {
		s.stall.Stop()
		s.cancel()
		s.stall = nil
	}
	if s.body != nil {
		s.body.Close()
		s.body = nil
	}
}
