package hwtest

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"sprout"
)

// parameter reads "NAME KIND [default=…] [least=…] [most=…] [among=a,b] what it means".
func (p *parser) parameter(value string) error {
	name, kind, words, err := p.declared("parameter", value)
	if err != nil {
		return err
	}
	q := sprout.TestParameter{Name: name, Kind: sprout.ParameterKind(kind)}
	if parameterKinds[q.Kind].read == nil {
		return refuse(p.line, "%.60q is no kind of parameter: it must be integer, duration, size, text or choice", kind)
	}
	if slices.ContainsFunc(p.test.Parameters, func(o sprout.TestParameter) bool { return o.Name == name }) {
		return refuse(p.line, "there is a parameter %s already", name)
	}
	if len(p.test.Parameters) == mostParameters {
		return refuse(p.line, "a test may have %d parameters", mostParameters)
	}
	options, title, err := p.options(words, "default", "least", "most", "among")
	if err != nil {
		return err
	}
	q.Title, q.Default, q.Least, q.Most = title, options["default"], options["least"], options["most"]
	if among := options["among"]; among != "" {
		q.Among = strings.Split(among, ",")
	}
	if why := wrongParameter(q, options); why != "" {
		return refuse(p.line, "parameter %s %s", name, why)
	}
	p.test.Parameters = append(p.test.Parameters, q)
	return nil
}

// metric reads "NAME UNIT [least=…] [most=…] [better=more|less] what it says".
func (p *parser) metric(value string) error {
	name, unit, words, err := p.declared("metric", value)
	if err != nil {
		return err
	}
	if !unitText.MatchString(unit) {
		return refuse(p.line, "%.60q is no unit, as MB/s, ms, %%, or 1 for a number of things", unit)
	}
	if slices.ContainsFunc(p.test.Metrics, func(o sprout.TestMetric) bool { return o.Name == name }) {
		return refuse(p.line, "there is a metric %s already", name)
	}
	if len(p.test.Metrics) == mostMetrics {
		return refuse(p.line, "a test may have %d metrics", mostMetrics)
	}
	options, title, err := p.options(words, "least", "most", "better")
	if err != nil {
		return err
	}
	m := sprout.TestMetric{Name: name, Unit: unit, Title: title, Better: options["better"]}
	if m.Better != "" && m.Better != "more" && m.Better != "less" {
		return refuse(p.line, "better=%.60q must be more or less", m.Better)
	}
	for _, bound := range []struct {
		key string
		at  **float64
	}{{"least", &m.Least}, {"most", &m.Most}} {
		text, said := options[bound.key]
		if !said {
			continue
		}
		v, ok := figure(text)
		if !ok {
			return refuse(p.line, "%s=%.60q is no number", bound.key, text)
		}
		*bound.at = &v
	}
	if m.Least != nil && m.Most != nil && *m.Least > *m.Most {
		return refuse(p.line, "metric %s has a least above its most", name)
	}
	p.test.Metrics = append(p.test.Metrics, m)
	return nil
}

// figure reads a finite number.
func figure(text string) (float64, bool) {
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// declared splits off the two words with which a parameter or metric begins.
func (p *parser) declared(what, value string) (name, kind, rest string, err error) {
	name, rest, _ = strings.Cut(value, " ")
	kind, rest, _ = strings.Cut(strings.TrimSpace(rest), " ")
	if !stableName.MatchString(name) || len(name) > 63 {
		return "", "", "", refuse(p.line, "%.60q is no name of a %s: lower case words with hyphens between", name, what)
	}
	if kind == "" {
		return "", "", "", refuse(p.line, "%s %s lacks its kind or unit", what, name)
	}
	return name, kind, strings.TrimSpace(rest), nil
}

// options reads what begins with one of the keys and =, each at most once; the
// rest is the title. A value with spaces stands in double quotes.
func (p *parser) options(text string, keys ...string) (options map[string]string, title string, err error) {
	options = map[string]string{}
	for text != "" {
		key, rest, ok := strings.Cut(text, "=")
		if !ok || strings.ContainsAny(key, " \t") {
			break // the title may have an = further on
		}
		if !slices.Contains(keys, key) {
			return nil, "", refuse(p.line, "%.60q is not one of %s", key, strings.Join(keys, "=, ")+"=")
		}
		if _, twice := options[key]; twice {
			return nil, "", refuse(p.line, "%s= is said twice", key)
		}
		value, after := rest, ""
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			value, _ = strconv.Unquote(quoted)
			after = rest[len(quoted):]
		} else {
			value, after, _ = strings.Cut(rest, " ")
		}
		options[key], text = value, strings.TrimSpace(after)
	}
	if len(text) > mostTitle || !printable(text) {
		return nil, "", refuse(p.line, "what it means is text of at most %d bytes", mostTitle)
	}
	return options, text, nil
}
