package agent

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"sprout"
	"sprout/boot"
	"sprout/sitestore"
)

// MediaURL is the base URL of this agent as BMCs reach it.
func (s *site) MediaURL() string {
	if s.config.MediaURL != "" {
		return s.config.MediaURL
	}
	return s.config.url(netip.Addr{})
}

// CheckMedia makes the CD of the machine's intent, and leaves it.
func (s *site) CheckMedia(_ context.Context, id sprout.MachineID) error {
	m, err := s.cd(id)
	if err == nil {
		return m.Close()
	}
	var f *sprout.Failure
	if !errors.As(err, &f) {
		err = sprout.Fail(sprout.MediaRefused, "the site's agent cannot make the image that the machine is to boot", err.Error())
	}
	return err
}

// media serves a BMC the CD that it inserts into its machine, whole or in pieces.
// The URL's token is for this alone.
func (s *site) media(w http.ResponseWriter, r *http.Request) {
	a, err := s.admitted(r, sitestore.MediaUse)
	var cd *boot.Media
	if err == nil {
		cd, err = s.cd(a.Machine)
	}
	if err != nil {
		s.answer(w, r, err)
		return
	}
	defer cd.Close() //nolint:errcheck // only read
	began, body := time.Now(), &seenWriter{ResponseWriter: w, saw: func() {}}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("ETag", `"`+cd.Version+`"`)
	http.ServeContent(body, r, "", time.Time{}, cd)
	if r.Method == http.MethodGet {
		s.boots.mediaFetched(a, r, body.bytes, cd.Size(), time.Since(began))
	}
}

// cd is what the machine's intent boots by virtual media.
func (s *site) cd(id sprout.MachineID) (*boot.Media, error) {
	in, ok := s.store.Intent(id)
	if !ok || in.MediaToken == "" || !in.ExpiresAt.After(s.clock.Now()) {
		return nil, sprout.Errorf(sprout.NotFound, "there are no media: nothing is to be booted by machine %s", id)
	}
	m, err := s.store.Machine(id)
	if err != nil {
		return nil, err
	}
	static, err := s.static(m)
	if err != nil {
		return nil, err
	}
	return s.discs.Media(in, static, s.config.url(static.Address.Addr()))
}

// static is the address that the machine's ramdisk has without DHCP: the usual
// one that is reserved for its first port that has one.
func (s *site) static(m sprout.SiteMachine) (boot.Static, error) {
	for _, mac := range m.MACs {
		mac = strings.ToLower(mac)
		r, ok := s.store.Reservation(mac)
		if !ok {
			continue
		}
		usual, sub := r.In(s.store.Subnets())
		if sub == nil {
			continue
		}
		st := boot.Static{MAC: mac, Address: netip.PrefixFrom(usual.IP, sub.CIDR.Bits()), Gateway: sub.Gateway, DNS: sub.DNS}
		for _, own := range s.config.own() {
			if len(sub.DNS) == 0 && own.Is4() == usual.IP.Is4() {
				st.DNS = []netip.Addr{own}
			}
		}
		return st, nil
	}
	return boot.Static{}, sprout.Fail(sprout.NoAddress, "no address is reserved for the machine, which boots by virtual media and has no DHCP", "machine "+m.Name)
}
