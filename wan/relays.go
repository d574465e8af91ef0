package wan

// Relays are the relays of one line: what happens to it happens to all of them.
type Relays []*Relay

// Cut cuts all of them.
func (all Relays) Cut() {
	for _, r := range all {
		r.Cut()
	}
}

// Heal heals all of them.
func (all Relays) Heal() {
	for _, r := range all {
		r.Heal()
	}
}

// Turn changes the weather of all of them.
func (all Relays) Turn(w Weather) {
	for _, r := range all {
		r.Turn(w)
	}
}

// State is that of the first; none at all is up.
func (all Relays) State() (w Weather, up bool) {
	if len(all) == 0 {
		return w, true
	}
	return all[0].State()
}

// Bytes is how many were carried, both ways.
func (all Relays) Bytes() (n int64) {
	for _, r := range all {
		n += r.Bytes()
	}
	return n
}

// Torn is how many connections were lost to the weather, or to a cut.
func (all Relays) Torn() (n int64) {
	for _, r := range all {
		n += r.Torn()
	}
	return n
}

// Close closes all of them.
func (all Relays) Close() {
	for _, r := range all {
		r.Close()
	}
}
