package store

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"sprout"
)

// A Page is a part of a list: at most Limit rows (0: 100, at most 1000) in the
// order Sort ("": the noun's own) after the cursor that the part before it
// returned. A cursor is a position in one order, so that rows that come and go
// between two parts neither repeat nor hide others.
type Page struct {
	After string
	Limit int
	Sort  string
}

func (p Page) limit() int {
	switch {
	case p.Limit <= 0:
		return 100
	case p.Limit > 1000:
		return 1000
	}
	return p.Limit
}

// A key is one column that a list is ordered by, and how a cursor's word for it
// is read; a word that is none is an error.
type key struct {
	column string
	read   func(word string) (any, error)
}

func text(column string) key {
	return key{column, func(word string) (any, error) {
		if strings.ContainsRune(word, 0) || !utf8.ValidString(word) {
			return nil, strconv.ErrSyntax
		}
		return word, nil
	}}
}

func number(column string) key {
	return key{column, func(word string) (any, error) { return strconv.ParseInt(word, 10, 64) }}
}

func ip(column string) key {
	return key{column, func(word string) (any, error) { return netip.ParseAddr(word) }}
}

func prefix(column string) key {
	return key{column, func(word string) (any, error) { return netip.ParsePrefix(word) }}
}

// An order is one way to sort a list: by keys that together are unique, each
// of which at tells of an item. An index serves each of them.
type order[T any] struct {
	keys []key
	at   func(T) []string
}

// A listing says how a noun's list may be sorted: by the name of an order, with
// a hyphen before it backwards. usual is the order where none is asked for.
type listing[T any] struct {
	noun   string
	usual  string
	orders map[string]order[T]
}

// A selection gathers what a list is restricted to.
type selection struct {
	conditions []string
	args       []any
}

// where adds a condition, in which %s stands for each of args.
func (q *selection) where(condition string, args ...any) {
	marks := make([]any, len(args))
	for i, arg := range args {
		q.args = append(q.args, arg)
		marks[i] = "$" + strconv.Itoa(len(q.args))
	}
	q.conditions = append(q.conditions, fmt.Sprintf(condition, marks...))
}

// equal restricts a list to rows whose column has the value, where it has one.
func equal[V ~string](q *selection, column string, value V) {
	if value != "" {
		q.where(column+" = %s", value)
	}
}

// among restricts a list to rows of sites.
func among(q *selection, column string, sites sprout.Sites) {
	switch {
	case sites.Every():
	case len(sites) == 1:
		q.where(column+" = %s", sites[0])
	default:
		q.where(column+" = ANY (%s)", sites)
	}
}

// begins restricts a list to rows whose column, which is in the order of its
// bytes, begins with a word of letters, digits and hyphens.
func begins(q *selection, column, word string) {
	if word != "" {
		q.where(column+" >= %s AND "+column+" < %s", word, word+"~") // after all that may follow
	}
}

// page reads a part of a list: read runs a SELECT that ends in tail. It returns
// the cursor of the next part, "" at the end. The limit is part of the statement
// because a plan that does not know it may not use the index of the order.
func page[T any](l listing[T], p Page, q selection, read func(tail string, args ...any) ([]T, error)) ([]T, string, error) {
	sort := cmp.Or(p.Sort, l.usual)
	o, known := l.orders[strings.TrimPrefix(sort, "-")]
	if !known {
		return nil, "", sprout.InvalidField("sort", "%q is not one of %s; a hyphen before it sorts backwards", sort, strings.Join(slices.Sorted(maps.Keys(l.orders)), ", "))
	}
	compare, direction := ">", ""
	if strings.HasPrefix(sort, "-") {
		compare, direction = "<", " DESC"
	}
	var columns, by, marks []string
	for _, k := range o.keys {
		columns, by, marks = append(columns, k.column), append(by, k.column+direction), append(marks, "%s")
	}
	name := l.noun + " " + sort
	if p.After != "" {
		position, err := o.position(name, p.After)
		if err != nil {
			return nil, "", err
		}
		q.where(fmt.Sprintf("(%s) %s (%s)", strings.Join(columns, ", "), compare, strings.Join(marks, ", ")), position...)
	}
	tail := "ORDER BY " + strings.Join(by, ", ") + " LIMIT " + strconv.Itoa(p.limit()+1)
	if len(q.conditions) > 0 {
		tail = "WHERE " + strings.Join(q.conditions, " AND ") + " " + tail
	}
	list, err := read(tail, q.args...)
	if err != nil || len(list) <= p.limit() {
		return list, "", err
	}
	list = list[:p.limit()]
	return list, cursor(name, o.at(list[len(list)-1])), nil
}

// Cut returns a part of a list that is whole in memory, in the order of names
// that are unique.
func Cut[T any](noun string, whole []T, p Page, name func(T) string) ([]T, string, error) {
	o := order[T]{keys: []key{text("name")}}
	slices.SortFunc(whole, func(a, b T) int { return strings.Compare(name(a), name(b)) })
	if p.After != "" {
		at, err := o.position(noun+" name", p.After)
		if err != nil {
			return nil, "", err
		}
		whole = slices.DeleteFunc(whole, func(item T) bool { return name(item) <= at[0].(string) })
	}
	if len(whole) <= p.limit() {
		return whole, "", nil
	}
	whole = whole[:p.limit()]
	return whole, cursor(noun+" name", []string{name(whole[len(whole)-1])}), nil
}

// cursor writes a position in the order of a name.
func cursor(order string, position []string) string {
	raw, _ := json.Marshal(append([]string{order}, position...)) // strings are always JSON
	return base64.RawURLEncoding.EncodeToString(raw)
}

// position reads a cursor of the order of a name. Invalid if it is none, or of
// another list or order.
func (o order[T]) position(name, cursor string) ([]any, error) {
	var words []string
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || json.Unmarshal(raw, &words) != nil || len(words) != len(o.keys)+1 {
		return nil, notCursor("is no cursor of this list")
	}
	if words[0] != name {
		return nil, notCursor("is a cursor of another list, or of another order of it")
	}
	position := make([]any, len(o.keys))
	for i, k := range o.keys {
		if position[i], err = k.read(words[i+1]); err != nil {
			return nil, notCursor("is no cursor of this list")
		}
	}
	return position, nil
}

func notCursor(why string) error {
	return sprout.InvalidField("after", "%s", why).WithRemedy("take what the page before answered as next, with the same sort; without it the list begins anew")
}
