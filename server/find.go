package server

import (
	"context"
	"slices"
	"strings"

	"sprout"
	"sprout/store"
)

// match returns the one item that ref names: by id or name, else as the unique
// beginning of an id or a name. Several are Invalid, none is NotFound. names
// gives the id first; its kind (as in mch_…) is on every one of them, so what has
// no underscore is no beginning of an id.
func match[T any](noun, ref string, items []T, names func(T) []string) (T, error) {
	var found []T
	var said []string
	for _, item := range items {
		for _, name := range names(item) {
			if name == ref {
				return item, nil
			}
		}
		for i, name := range names(item) {
			if ref != "" && strings.HasPrefix(name, ref) && (i > 0 || strings.Contains(ref, "_")) {
				found, said = append(found, item), append(said, name)
				break
			}
		}
	}
	var none T
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		e := sprout.Errorf(sprout.NotFound, "cannot find %s %q", noun, ref)
		e.Field = noun
		return none, e.WithRemedy("sprout %s list", noun)
	}
	return none, sprout.InvalidField(noun, "%q may be %s: say which", ref, strings.Join(said[:min(len(said), 5)], " or "))
}

func (s *Server) findSite(ctx context.Context, ref string) (site sprout.Site, err error) {
	defer func() { seen(ctx, err, site.ID, site.ID, site.Name) }()
	site, err = s.store.FindSite(ctx, ref)
	if err == nil && !outside(ctx, site.ID) {
		return site, nil
	}
	if err != nil && sprout.KindOf(err) != sprout.NotFound {
		return site, err
	}
	sites, err := all(func(p store.Page) ([]sprout.Site, string, error) {
		return s.store.Sites(ctx, store.SiteFilter{Sites: scope(ctx), Page: p})
	})
	if err != nil {
		return site, err
	}
	return match("site", ref, sites, func(s sprout.Site) []string { return []string{string(s.ID), s.Name} })
}

func (s *Server) findAgent(ctx context.Context, ref string) (a sprout.Agent, err error) {
	defer func() { seen(ctx, err, a.Site, a.ID, a.Name) }()
	agents, err := all(func(p store.Page) ([]sprout.Agent, string, error) {
		return s.store.Agents(ctx, store.AgentFilter{Sites: scope(ctx), Page: p})
	})
	if err != nil {
		return a, err
	}
	return match("agent", ref, agents, func(a sprout.Agent) []string { return []string{string(a.ID), a.Name, a.SiteName} })
}

// findToken finds a token that is not revoked.
func (s *Server) findToken(ctx context.Context, ref string) (t sprout.Token, err error) {
	defer func() { seen(ctx, err, t.Sites.Only(), t.ID, t.Name) }()
	tokens, err := all(func(p store.Page) ([]sprout.Token, string, error) {
		return s.store.Tokens(ctx, store.TokenFilter{Sites: scope(ctx), Page: p})
	})
	if err != nil {
		return t, err
	}
	tokens = slices.DeleteFunc(tokens, func(t sprout.Token) bool { return t.RevokedAt != nil })
	var same []string
	for _, t := range tokens {
		if t.Name == ref {
			same = append(same, string(t.ID))
		}
	}
	if len(same) > 1 { // logins of one person
		return sprout.Token{}, sprout.InvalidField("token", "%q is %s: say which", ref, strings.Join(same[:min(len(same), 5)], " or "))
	}
	return match("token", ref, tokens, func(t sprout.Token) []string { return []string{string(t.ID), t.Name} })
}

func (s *Server) findNetwork(ctx context.Context, ref string) (n sprout.Network, err error) {
	defer func() { seen(ctx, err, n.Site, n.ID, n.Name) }()
	site, name, qualified := strings.Cut(ref, "/")
	if !qualified {
		n, err := s.store.FindNetwork(ctx, scope(ctx), ref)
		if sprout.KindOf(err) != sprout.NotFound || err == nil {
			return n, err
		}
		site, name = "", ref
	}
	sites, err := s.sitesOf(ctx, site)
	if err != nil {
		return n, err
	}
	networks, err := s.store.Networks(ctx, sites)
	if err != nil {
		return n, err
	}
	return match("network", name, networks, func(n sprout.Network) []string { return []string{string(n.ID), n.Name} })
}

func (s *Server) findMachine(ctx context.Context, ref string) (sprout.Machine, error) {
	m, err := s.store.FindMachine(ctx, scope(ctx), ref)
	seen(ctx, err, m.Site, m.ID, m.Name)
	return m, err
}

// findRow is findMachine for those who need no more than the machine's own row.
func (s *Server) findRow(ctx context.Context, ref string) (sprout.Machine, error) {
	m, err := s.store.Bare().FindMachine(ctx, scope(ctx), ref)
	seen(ctx, err, m.Site, m.ID, m.Name)
	return m, err
}

func (s *Server) findImage(ctx context.Context, ref string) (i sprout.Image, err error) {
	defer func() { seen(ctx, err, "", i.ID, i.Name) }()
	i, err = s.store.FindImage(ctx, ref)
	if err == nil || sprout.KindOf(err) != sprout.NotFound {
		return i, err
	}
	images, err := all(func(p store.Page) ([]sprout.Image, string, error) { return s.store.Images(ctx, p) })
	if err != nil {
		return i, err
	}
	return match("image", ref, images, func(i sprout.Image) []string { return append([]string{string(i.ID), i.Name, i.Digest}, i.Aliases...) })
}

func (s *Server) findWorkflow(ctx context.Context, ref string) (id sprout.WorkflowID, err error) {
	var w sprout.Workflow
	defer func() { seen(ctx, err, w.Site, w.ID, w.MachineName) }()
	w, err = s.store.Workflow(ctx, sprout.WorkflowID(ref))
	if err == nil && !outside(ctx, w.Site) {
		return w.ID, nil
	}
	if err != nil && sprout.KindOf(err) != sprout.NotFound {
		return "", err
	}
	recent, _, err := s.store.Workflows(ctx, store.WorkflowFilter{Sites: scope(ctx), Page: store.Page{Limit: 1000}})
	if err != nil {
		return "", err
	}
	w, err = match("workflow", ref, recent, func(w sprout.Workflow) []string { return []string{string(w.ID)} })
	return w.ID, err
}
