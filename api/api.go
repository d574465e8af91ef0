// Package api declares every operation of the control plane once: name, method,
// path, who may call it, what goes in and what comes out. The server registers
// these values, the client calls them, openapi.json and the access tests are
// made from them. It knows nothing of how an operation is carried out.
package api

import (
	"context"
	"net/http"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"sprout"
)

// An Op is one operation. In is a struct whose fields carry the tags path,
// query or header, and a field Body for a JSON body; Out is the JSON answer, or
// None, Download, Lines, Stream or Console.
type Op[In, Out any] struct {
	Name   string // "machine deploy": as the CLI spells it, and the action in the audit
	Method string
	Path   string
	Role   sprout.Role // the least role; Public: no token is needed
	Status int         // of success; 0: 200, or 204 without an answer
	Upload bool        // the body is a stream of bytes that In takes by itself
	Many   bool        // it is many transactions, each by itself: a crash may leave a part
	Shared bool        // it is one transaction with others that ask at once, and takes its Idempotency-Key there by itself
	Wide   bool        // it reaches beyond one site: a token of one site may not call it
	Help   string
}

// Public is the role of operations that need no token.
const Public sprout.Role = ""

// None is the Out of an operation that answers nothing.
type None struct{}

// A Download is the Out of an operation that answers with bytes.
type Download struct {
	Serve func(w http.ResponseWriter, r *http.Request)
}

// Lines is the Out of an operation that answers with JSON values, one a line.
type Lines struct {
	Serve func(w http.ResponseWriter, r *http.Request)
}

// A Spec is an operation without its types.
type Spec struct {
	Name, Method, Path, Help string
	Role                     sprout.Role
	Status                   int
	Upload, Wide, Many       bool
	Shared                   bool
	Body                     bool // it takes a JSON body
	Stream                   bool // it answers without end
	Download                 bool // it answers with bytes, also with a part of them
}

// An Operation is any Op. What documents it is no method of Op's: whoever names an
// Op would have the serving of it compiled anew.
type Operation struct {
	spec     Spec
	document func(a huma.API) // without a handler that can run
}

// Spec returns the operation without its types.
func (o Operation) Spec() Spec { return o.spec }

func of[In, Out any](o Op[In, Out]) Operation {
	return Operation{spec: o.Spec(), document: func(a huma.API) {
		Register(a, o, nil, func(context.Context, *In) (Out, error) {
			var out Out
			return out, sprout.Errorf(sprout.Internal, "this server only documents")
		})
	}}
}

// Spec returns the operation without its types.
func (o Op[In, Out]) Spec() Spec {
	s := Spec{Name: o.Name, Method: o.Method, Path: o.Path, Help: o.Help, Role: o.Role, Status: o.Status, Upload: o.Upload, Wide: o.Wide, Many: o.Many, Shared: o.Shared}
	switch any(*new(Out)).(type) {
	case Stream, Console:
		s.Stream = true
	}
	_, s.Download = any(*new(Out)).(Download)
	_, s.Body = reflect.TypeFor[In]().FieldByName("Body")
	if s.Status == 0 {
		s.Status = http.StatusOK
		if _, none := any(*new(Out)).(None); none {
			s.Status = http.StatusNoContent
		}
	}
	return s
}

// Operations lists every operation of every noun.
func Operations() []Operation {
	var all []Operation
	for _, noun := range [][]Operation{
		siteOperations(), agentOperations(), networkOperations(), addressOperations(), dhcpOperations(), dnsOperations(), machineOperations(), consoleOperations(), imageOperations(),
		workflowOperations(), problemOperations(), auditOperations(), tokenOperations(), loginOperations(), providerOperations(), bootOperations(), explainOperations(), modelOperations(), testOperations(), watchOperations(), allocationOperations(), quotaOperations(), ruleOperations(), bmcOperations(),
	} {
		all = append(all, noun...)
	}
	return all
}

// Reach returns the sites at which a token's bearer may call an operation of role
// need; false if there are none.
func Reach(t sprout.Token, need sprout.Role) (sites sprout.Sites, enough bool) {
	sites = sprout.Sites{} // none, which is not every one
	for _, g := range t.All() {
		if !May(g.Role, need) {
			continue
		}
		if g.Sites.Every() {
			return nil, true
		}
		enough = true
		for _, id := range g.Sites {
			if !slices.Contains(sites, id) {
				sites = append(sites, id)
			}
		}
	}
	return sites, enough
}

// May tells whether a bearer of role have may call an operation of role need.
// An agent's role opens what needs that role and nothing else; people's roles
// each include the one before.
func May(have, need sprout.Role) bool {
	rank := map[sprout.Role]int{sprout.AgentRole: 0, sprout.Viewer: 1, sprout.Operator: 2, sprout.Admin: 3}
	h, known := rank[have]
	return need == Public || (known && h >= rank[need])
}
