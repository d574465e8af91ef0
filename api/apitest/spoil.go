package apitest

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// A way to spoil a request; it tells whether the draft could be spoilt so.
type way struct {
	name string
	do   func(m *maker, d *draft) bool
}

// ways are the ways to break a request, by name.
var ways = []way{
	{"a field of another type", func(m *maker, d *draft) bool { return m.replace(d, m.otherType()) }},
	{"null", func(m *maker, d *draft) bool { return m.replace(d, nil) }},
	{"a huge number", func(m *maker, d *draft) bool { return m.replace(d, m.pick(hugeNumbers)) }},
	{"a text that is too long", func(m *maker, d *draft) bool { return m.replace(d, strings.Repeat("x", 1<<(8+m.IntN(12)))) }},
	{"an odd text", func(m *maker, d *draft) bool { return m.replace(d, m.pick(oddTexts)) }},
	{"deep nesting", func(m *maker, d *draft) bool { return m.replace(d, nested(1<<(4+m.IntN(12)))) }},
	{"a field too few", (*maker).remove},
	{"a field too many", (*maker).add},
	{"bad UTF-8", func(m *maker, d *draft) bool { return m.mangle(d, "\xff\xfe") }},
	{"half a surrogate", func(m *maker, d *draft) bool { return m.mangle(d, `\ud800`) }},
	{"a zero byte", func(m *maker, d *draft) bool { return m.mangle(d, `\u0000`) }},
	{"a body that breaks off", func(m *maker, d *draft) bool {
		raw, ok := d.json()
		if ok {
			d.raw = raw[:m.IntN(len(raw))]
		}
		return ok
	}},
	{"another body", func(m *maker, d *draft) bool {
		if d.kind == "" {
			return false
		}
		d.raw = []byte(m.pick(otherBodies).(string))
		return true
	}},
	{"another media type", func(m *maker, d *draft) bool {
		d.kind = m.pick([]any{"text/plain", "application/xml", "multipart/form-data", "application/json; charset=utf-16", "x", "application/octet-stream", ";"}).(string)
		return true
	}},
	{"a bad id", func(m *maker, d *draft) bool {
		names := slices.Sorted(maps.Keys(d.params))
		if len(names) > 0 {
			d.params[names[m.IntN(len(names))]] = m.pick(badIDs).(string)
		}
		return len(names) > 0
	}},
	{"a bad cursor", func(m *maker, d *draft) bool { d.query.Set("after", m.pick(badCursors).(string)); return true }},
	{"a bad limit", func(m *maker, d *draft) bool {
		d.query.Set("limit", m.pick([]any{"0", "-1", "1001", "9223372036854775808", "1e3", "x", " 1", "\x00"}).(string))
		return true
	}},
	{"an odd parameter", func(m *maker, d *draft) bool {
		if len(d.query) == 0 {
			return false
		}
		names := slices.Sorted(maps.Keys(d.query))
		d.query.Set(names[m.IntN(len(names))], m.pick(slices.Concat(oddTexts, badCursors)).(string))
		return true
	}},
	{"a parameter twice", func(m *maker, d *draft) bool {
		names := slices.Sorted(maps.Keys(d.query))
		if len(names) > 0 {
			d.query.Add(names[0], d.query.Get(names[0])+"x")
		}
		return len(names) > 0
	}},
	{"an unknown parameter", func(m *maker, d *draft) bool { d.query.Set(m.word()+"x", m.text(20)); return true }},
	{"a query that cannot be read", func(m *maker, d *draft) bool {
		d.query, d.rawQuery = nil, m.pick([]any{"%zz", "a=%", ";;", "&&&=", "=", "a=b;c=d", "%00=1", "site=%ff%fe"}).(string)
		return true
	}},
	{"a long query", func(m *maker, d *draft) bool {
		d.query.Set("site", strings.Repeat("x", 1<<(10+m.IntN(5))))
		return true
	}},
	{"odd headers", func(m *maker, d *draft) bool {
		name := m.pick([]any{"If-Match", "If-None-Match", "Idempotency-Key", "Last-Event-ID", "Request-Id", "Accept", "Range", "Accept-Encoding", "If-Modified-Since", "If-Range", "Origin", "X-HTTP-Method-Override"}).(string)
		d.header.Set(name, m.pick(oddHeaders).(string))
		return true
	}},
	{"many headers", func(m *maker, d *draft) bool {
		for range 1 + m.IntN(40) {
			d.header.Add("X-"+m.word(), strings.Repeat("x", 1024))
		}
		return true
	}},
	{"no token", func(_ *maker, d *draft) bool { d.header["Authorization"] = nil; return true }},
	{"another token", func(m *maker, d *draft) bool {
		d.header.Set("Authorization", m.pick([]any{"Bearer x", "Bearer ", "Basic YTpi", "bearer", "Bearer " + strings.Repeat("x", 9000), "Bearer \u00e4", "Bearer sprout_x.y.z"}).(string))
		return true
	}},
	{"another method", func(m *maker, d *draft) bool {
		d.method = m.pick([]any{"get", "head", "put", "post", "patch", "delete", "options", "trace", "propfind"}).(string)
		return true
	}},
	{"another path", func(m *maker, d *draft) bool {
		d.path = m.pick([]any{"/", "/v1", "/v1/", "/v2/machines", "//v1/machines", d.path + "/", d.path + "/x", "/v1/../v1/machines", "/v1/machines/./x", "/docs/problems/%2e%2e", "/docs/x", "/v1/%6dachines"}).(string)
		return true
	}},
}

var (
	hugeNumbers = []any{json.Number("9223372036854775807"), json.Number("9223372036854775808"), json.Number("-9223372036854775809"), json.Number("1e308"),
		json.Number("1e400"), json.Number("-1"), json.Number("0.5"), json.Number("1E-400"), json.Number("2147483648"), json.Number("-0")}
	oddTexts = []any{"", " ", "\u0000", "\u202eabc", "\U0001f600", "'; DROP TABLE machine; --", "../../etc/passwd", "%s%n", "a\nb", "null", "true", "\ufeff",
		"10.0.0.0/33", "::/0", "999.1.1.1", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "http://[::1", "$ref", "{}", "-1", "*", ",", "rack==", "!!x", "fe80::1%eth0", "0.0.0.0/0",
		"2026-13-45T99:99:99Z", "9999999999999999999999", "0000-00-00T00:00:00Z", "-292277022399-01-01T00:00:00Z", "9999-12-31T23:59:59+24:00"}
	otherBodies = []any{"", "null", "[]", "0", `""`, "true", "{", "}", "{}{}", "{} x", "\xef\xbb\xbf{}", `{"a":}`, `{"name":"a","name":"b"}`, "\x00", "<xml/>", "a=b", "NaN", `{"":""}`, "[[[[[[", strings.Repeat("[", 20000), `{"a":1e999999}`}
	badIDs      = []any{"", "%20", "%00", "..", "%2e%2e", "%2f", "a%2Fb", "a/b", "%ff", "%zz", "%F0%9F%98%80", "*", "0", "-1", "9223372036854775808", "1e9", strings.Repeat("x", 5000),
		"m1%00", "'", "%25", "lon1%2Fm1", "lon1/m1", "latest", "%E2%80%AE", "_", "%5C", "m_", "site_", "mch_%25", "?", "#", "m1?x=1"}
	badCursors = []any{"", "x", "AAAA", "bnVsbA", "e30", "W10", "eyJhIjoxfQ", "\x00", "%", "-1", "9223372036854775808", "=", "\xff\xfe", "MQ", "WzFd", "WyIiXQ", "WzEsMl0", "ImEi", strings.Repeat("A", 1024), strings.Repeat("A", 1025),
		"eyJBdCI6IjAwMDAtMDAtMDBUMDA6MDA6MDBaIn0", "1-1-1", "0:0", "1,1"}
	oddHeaders = []any{"", "*", `"`, `""`, `W/"x"`, `"x", "y"`, `"1-`, ",,,", "x", "-1", "0", "1-2-3", "9223372036854775808", "9223372036854775807", "bytes=-1", "bytes=9-1", "bytes=0-0,0-0,0-0", "bytes=99999999999999999999-",
		"text/html", "application/json;q=0", "*/*", "application/*;q=x", "gzip, br", "\u00e4\u20ac", "a b", strings.Repeat("x", 128), strings.Repeat("x", 4096), "\xff", "Sun, 22 Nov 2026 10:00:00 GMT", `"1"`}
)

// spoil breaks a request in one way, or two.
func (m *maker) spoil(d *draft) {
	var done []string
	for times := 1 + m.IntN(4)/3; times > 0; {
		w := ways[m.IntN(len(ways))]
		if d.query == nil {
			d.query = url.Values{}
		}
		if w.do(m, d) {
			done = append(done, w.name)
			times--
		}
	}
	d.broken = strings.Join(done, " and ")
}

func (m *maker) pick(list []any) any { return list[m.IntN(len(list))] }

func (m *maker) otherType() any {
	return m.pick([]any{true, 1, "x", 1.5, []any{}, map[string]any{}, []any{map[string]any{}}, []any{nil}, map[string]any{"x": nil}, []any{"x", 1}})
}

// json is the body as it is now, where it is JSON.
func (d *draft) json() ([]byte, bool) {
	if d.raw != nil || d.body == nil {
		return nil, false
	}
	if _, bytes := d.body.([]byte); bytes {
		return nil, false
	}
	raw, err := json.Marshal(d.body)
	return raw, err == nil
}

// spots are where a value of the body can be replaced.
func spots(v any, set func(any)) (list []func(any)) {
	list = append(list, set)
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			list = append(list, spots(v[name], func(with any) { v[name] = with })...)
		}
	case []any:
		for i := range v {
			list = append(list, spots(v[i], func(with any) { v[i] = with })...)
		}
	}
	return list
}

func (m *maker) replace(d *draft, with any) bool {
	if _, ok := d.json(); !ok {
		return false
	}
	list := spots(d.body, func(with any) { d.body = with })
	list[m.IntN(len(list))](with)
	if d.body == nil {
		d.raw = []byte("null")
	}
	return true
}

// objects are the objects of a body.
func objects(v any) (list []map[string]any) {
	switch v := v.(type) {
	case map[string]any:
		list = append(list, v)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			list = append(list, objects(v[name])...)
		}
	case []any:
		for _, part := range v {
			list = append(list, objects(part)...)
		}
	}
	return list
}

func (m *maker) remove(d *draft) bool {
	all := objects(d.body)
	if len(all) == 0 {
		return false
	}
	o := all[m.IntN(len(all))]
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if m.IntN(2) == 0 {
			delete(o, name)
			return true
		}
	}
	return false
}

func (m *maker) add(d *draft) bool {
	all := objects(d.body)
	if len(all) == 0 {
		return false
	}
	all[m.IntN(len(all))][m.pick([]any{"x", "", "id", "$schema", "__proto__", "Name", "NAME", strings.Repeat("n", 2000), "a.b", "a[0]", "\u0000"}).(string)] = m.otherType()
	return true
}

// mangle puts bytes into a text of the body.
func (m *maker) mangle(d *draft, with string) bool {
	raw, ok := d.json()
	if !ok {
		return false
	}
	var quotes []int
	for i := range raw {
		if raw[i] == '"' && (i == 0 || raw[i-1] != '\\') {
			quotes = append(quotes, i+1)
		}
	}
	if len(quotes) < 2 {
		return false
	}
	at := quotes[m.IntN(len(quotes)/2)*2]
	d.raw = bytes.Join([][]byte{raw[:at], raw[at:]}, []byte(with))
	return true
}

func nested(deep int) any {
	raw := strings.Repeat("[", deep) + strings.Repeat("]", deep)
	if deep > 9000 { // encoding/json writes no deeper
		raw = strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	}
	return json.RawMessage(raw)
}
