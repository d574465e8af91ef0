package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"sprout"
	"sprout/api"
	"sprout/trust"
)

// Call carries out an operation. A refusal of the server is a *sprout.Error
// with its kind, field and remedy; a server that cannot be reached is
// Unavailable.
func Call[In, Out any](ctx context.Context, c *Client, op api.Op[In, Out], in In) (Out, error) {
	var out Out
	request, err := newRequest(ctx, c, op.Spec(), reflect.ValueOf(in))
	if err != nil {
		return out, err
	}
	answer, err := c.do(request)
	if err != nil {
		return out, err
	}
	defer answer.Body.Close() // read to its end below
	if _, none := any(out).(api.None); none {
		return out, nil
	}
	if err := json.NewDecoder(answer.Body).Decode(&out); err != nil {
		return out, sprout.Errorf(sprout.Unavailable, "cannot read the answer of %s: %w", op.Name, err)
	}
	return out, nil
}

// newRequest builds the request from the tags of in.
func newRequest(ctx context.Context, c *Client, s api.Spec, in reflect.Value) (*http.Request, error) {
	path, query := s.Path, url.Values{}
	fill(in, &path, query)
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var body io.Reader
	if field := in.FieldByName("Body"); field.IsValid() {
		raw, err := json.Marshal(field.Interface())
		if err != nil {
			return nil, fmt.Errorf("cannot write the request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, s.Method, target, body)
	if err != nil {
		return nil, fmt.Errorf("cannot make the request: %w", err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return request, nil
}

// fill puts the fields tagged path and query into their places; embedded
// structs are walked too.
func fill(in reflect.Value, path *string, query url.Values) {
	for i := range in.NumField() {
		field, value := in.Type().Field(i), in.Field(i)
		if field.Anonymous && value.Kind() == reflect.Struct {
			fill(value, path, query)
			continue
		}
		if name, ok := field.Tag.Lookup("path"); ok {
			*path = strings.Replace(*path, "{"+name+"}", url.PathEscape(text(value)), 1)
		}
		if name, ok := field.Tag.Lookup("query"); ok && !value.IsZero() {
			query.Set(name, text(value))
		}
	}
}

// text writes a query value; lists are separated by commas.
func text(v reflect.Value) string {
	if t, ok := v.Interface().(time.Time); ok {
		return t.UTC().Format(time.RFC3339Nano)
	}
	if v.Kind() != reflect.Slice {
		return fmt.Sprint(v.Interface())
	}
	var parts []string
	for i := range v.Len() {
		parts = append(parts, fmt.Sprint(v.Index(i).Interface()))
	}
	return strings.Join(parts, ",")
}

// do sends the request with the client's token and turns what is not a success
// into an error. The caller closes the body.
func (c *Client) do(request *http.Request) (*http.Response, error) {
	request.Header.Set("User-Agent", c.agent)
	if request.Header.Get("Accept") == "" {
		request.Header.Set("Accept", "application/json")
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	condition(request)
	answer, err := c.send(request)
	if err != nil {
		return nil, c.unreachable(request.Context(), err)
	}
	if answer.StatusCode < 300 {
		return answer, nil
	}
	defer answer.Body.Close() // an answer that is thrown away
	return nil, refusal(answer)
}

func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if distrust := trust.Distrust(err, c.base, c.ca); distrust != nil {
		return distrust
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return sprout.Errorf(sprout.Unavailable, "cannot reach the control plane at %s: %w", c.base, err).
		WithRemedy("sprout dev starts one; --server, SPROUT_SERVER and the context file name another")
}

// refusal reads a problem document, or makes an error of what a proxy said.
func refusal(answer *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); kind == "application/problem+json" {
		var fault api.Fault
		if json.Unmarshal(raw, &fault) == nil && fault.Kind != "" {
			return withRequest(&fault)
		}
	}
	said := strings.TrimSpace(string(raw[:min(len(raw), 200)]))
	return sprout.Errorf(api.KindOfStatus(answer.StatusCode), "the control plane answered %s: %s", answer.Status, said)
}

// withRequest adds the request's id where only the server's log can tell more.
func withRequest(fault *api.Fault) error {
	err := fault.Err()
	if fault.Kind == sprout.Internal && fault.Request != "" {
		err.Message += " (" + fault.Request + ")"
	}
	return err
}
