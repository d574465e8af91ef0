package builtin_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// heard keeps what a server logs.
type heard struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buf.Write(b)
}

func (h *heard) log() *slog.Logger { return slog.New(slog.NewTextHandler(h, nil)) }

func (h *heard) all() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buf.String()
}

func (h *heard) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf.Reset()
}

func (h *heard) count(text string) int { return strings.Count(h.all(), text) }
