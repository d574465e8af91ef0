package agent

import (
	"time"

	"sprout"
)

// A view is one stream of an operator.
type view struct {
	token sprout.TokenID
	who   string
	types bool
	since time.Time
	kept  time.Time
	typed int64
}

// enter adds a view to a console that is ready; false: it is being closed.
func (c *consoles) enter(one *console, q sprout.ConsoleQuestion) (a sprout.ConsoleAnswer, joined bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one.err != nil {
		return sprout.ConsoleAnswer{Failure: failureOf(one.err)}, true, nil
	}
	if one.ended {
		return a, false, nil
	}
	holder := one.typist()
	if _, again := one.views[q.View]; !again {
		if q.Type && holder != nil {
			return sprout.ConsoleAnswer{Typist: holder.who, Since: holder.since}, true, nil
		}
		if len(one.views) >= consoleViews {
			return a, false, sprout.Errorf(sprout.Conflict, "cannot open the console: %d have it open already", len(one.views))
		}
		one.views[q.View] = &view{token: q.Token, who: q.Who, types: q.Type, since: c.now(), kept: c.now()}
	}
	a = sprout.ConsoleAnswer{Stretch: one.stretch, At: one.at, Recent: append([]byte(nil), one.recent...)}
	if holder = one.typist(); holder != nil {
		a.Typist, a.Since = holder.who, holder.since
	}
	return a, true, nil
}

// typist is the view that may type, nil if none.
func (one *console) typist() *view {
	for _, v := range one.views {
		if v.types {
			return v
		}
	}
	return nil
}

// private tells whether somebody has typed: what is said then is not for records.
func (one *console) private() bool {
	v := one.typist()
	return v != nil && v.typed > 0
}

// viewOf returns the view that is asked about; nil if it is no more, or another's.
func (c *consoles) viewOf(q sprout.ConsoleQuestion) (*console, *view) {
	one := c.open[q.Machine]
	if one == nil || one.views[q.View] == nil || one.views[q.View].token != q.Token {
		return nil, nil
	}
	return one, one.views[q.View]
}

const viewGone = "the site's agent has ended it: the BMC closed it, or the agent was started again or heard nothing for too long"

// keep notes that somebody still looks.
func (c *consoles) keep(q sprout.ConsoleQuestion) sprout.ConsoleAnswer {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, v := c.viewOf(q)
	if v == nil {
		return sprout.ConsoleAnswer{Gone: viewGone}
	}
	v.kept = c.now()
	return sprout.ConsoleAnswer{Typed: v.typed}
}

// types types keys, once however often they arrive.
func (c *consoles) types(q sprout.ConsoleQuestion) (a sprout.ConsoleAnswer, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one, v := c.viewOf(q)
	switch {
	case v == nil:
		return sprout.ConsoleAnswer{Gone: viewGone}, nil
	case !v.types:
		return a, sprout.Errorf(sprout.Conflict, "cannot type: the console was opened to read")
	case len(q.Keys) > sprout.MostKeys || q.At < 0 || q.At > v.typed:
		return a, sprout.Errorf(sprout.Invalid, "cannot type %d bytes after %d: %d were typed so far", len(q.Keys), q.At, v.typed)
	}
	again := min(v.typed-q.At, int64(len(q.Keys)))
	if fresh := q.Keys[again:]; len(fresh) > 0 {
		select {
		case one.keys <- fresh:
			v.typed += int64(len(fresh))
		default:
			return a, sprout.Errorf(sprout.Unavailable, "cannot type: the BMC has not taken what was typed before")
		}
	}
	v.kept = c.now()
	return sprout.ConsoleAnswer{Typed: v.typed}, nil
}

// leave ends a view, and the console with the last.
func (c *consoles) leave(q sprout.ConsoleQuestion) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one, v := c.viewOf(q); v != nil {
		delete(one.views, q.View)
		c.endIdle(one)
	}
}

// expire drops the views that were not kept.
func (c *consoles) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.open {
		for id, v := range one.views {
			if c.now().Sub(v.kept) > sprout.KeepConsoleFor {
				delete(one.views, id)
			}
		}
		c.endIdle(one)
	}
}
