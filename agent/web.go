package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"

	"sprout"
	"sprout/boot"
	"sprout/boot/neighbour"
	"sprout/sitestore"
)

// The largest bodies that are read. A report holds an inventory.
const (
	maxHello  = 64 << 10
	maxReport = 4 << 20
	maxHome   = 64 << 10
)

// web is what the site answers over HTTP on the provisioning network.
func (s *site) web() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/boot/", boot.Handler(s.booting()))
	mux.HandleFunc("POST /ramdisk/hello", s.ofRamdisk(s.hello))
	mux.HandleFunc("GET /ramdisk/order", s.ofRamdisk(s.order))
	mux.HandleFunc("POST /ramdisk/report", s.ofRamdisk(s.report))
	mux.HandleFunc("GET /ramdisk/payload", s.ofRamdisk(s.payload))
	mux.HandleFunc("GET "+sprout.TestPath+"{digest}", s.ofRamdisk(s.testFile))
	mux.HandleFunc("GET "+sprout.ToolsPath, s.ofRamdisk(s.toolsContent))
	mux.HandleFunc("GET "+sprout.LayoutToolsPath, s.ofRamdisk(s.layoutTools))
	mux.HandleFunc("GET /images/{digest}", s.ofRamdisk(s.image))
	mux.HandleFunc("POST /phone-home/{attempt}/{token}", s.phoneHome)
	mux.HandleFunc("GET /media/{attempt}/{token}/boot.iso", s.media)
	mux.HandleFunc("GET /metadata/{attempt}/{token}/{path...}", s.metadata)
	return mux
}

// booting is what the site serves to firmware and boot loaders.
func (s *site) booting() boot.Config {
	return boot.Config{
		Ledger: ledger{s.store, s}, URL: s.config.url(netip.Addr{}), URL6: s.config.url(netip.IPv6Unspecified()),
		Files: s.config.RamdiskDir, Loaders: s.config.bootFiles(), Shim: s.config.SecureBoot.Shim, GRUB: s.config.SecureBoot.GRUB,
		CDGRUB: s.config.SecureBoot.CDGRUB, Neighbour: s.neighbour(),
		Cmdline: s.config.Cmdline, Events: s.boots.tell, Now: s.clock.Now, Log: s.log,
	}
}

// neighbour tells who has an address on a link of the agent's; nil where machines
// are simulated.
func (s *site) neighbour() func(context.Context, netip.Addr) (string, error) {
	if s.config.Link != nil {
		return nil
	}
	return neighbour.Of
}

// ofRamdisk admits only bearers of the token of a boot attempt that is not over.
func (s *site) ofRamdisk(serve func(http.ResponseWriter, *http.Request, sitestore.Attempt) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "cannot serve this without the token of a boot attempt", http.StatusUnauthorized)
			return
		}
		attempt, err := s.store.Admit(token, sitestore.RamdiskUse)
		if err == nil {
			s.saw(attempt.ID)
			err = serve(w, r, attempt)
		} else if sprout.KindOf(err) == sprout.Denied {
			s.turnedAway(r, err)
		}
		s.answer(w, r, err)
	}
}

// answer writes an error as the one table of kinds says; nil is answered
// already. What has no kind is masked.
func (s *site) answer(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil || r.Context().Err() != nil {
		return
	}
	kind := sprout.KindOf(err)
	said := err.Error()
	if kind == sprout.Internal {
		s.log.Error("request failed", "path", r.Pattern, "from", r.RemoteAddr, "error", err)
		said = "cannot serve this: a defect of the agent, see its log"
	} else {
		s.log.Warn("request refused", "path", r.Pattern, "from", r.RemoteAddr, "error", err)
	}
	for _, row := range sprout.ErrorKinds {
		if row.Kind == kind {
			http.Error(w, said, row.Status)
		}
	}
}

// read decodes a JSON body of at most limit bytes into v; what v does not have
// is refused.
func read(w http.ResponseWriter, r *http.Request, limit int64, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return sprout.Errorf(sprout.Invalid, "cannot read the body: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return sprout.Errorf(sprout.Invalid, "cannot read the body: something follows its one object")
	}
	return nil
}
