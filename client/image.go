package client

import (
	"context"
	"encoding/json"
	"io"
	"reflect"

	"sprout"
	"sprout/api"
)

// ImportImage uploads in.Content, which has size bytes (negative: unknown).
func (c *Client) ImportImage(ctx context.Context, in api.ImportImage, size int64) (sprout.Image, error) {
	return upload(ctx, c, api.ImageImport, in, in.Content, size)
}

// ImageContent opens the bytes of an image as stored. The caller closes them.
func (c *Client) ImageContent(ctx context.Context, ref string) (io.ReadCloser, error) {
	return download(ctx, c, api.ImageContent, api.ImageRef{Image: ref})
}

// upload carries out an operation whose body is a stream of size bytes.
func upload[In, Out any](ctx context.Context, c *Client, op api.Op[In, Out], in In, content io.Reader, size int64) (out Out, err error) {
	request, err := newRequest(ctx, c, op.Spec(), reflect.ValueOf(in))
	if err != nil {
		return out, err
	}
	request.Body, request.ContentLength = io.NopCloser(content), size
	request.Header.Set("Content-Type", "application/octet-stream")
	answer, err := c.do(request)
	if err != nil {
		return out, err
	}
	defer answer.Body.Close() // read to its end below
	if err := json.NewDecoder(answer.Body).Decode(&out); err != nil {
		return out, sprout.Errorf(sprout.Unavailable, "cannot read the answer: %w", err)
	}
	return out, nil
}

// download opens the bytes that an operation answers with.
func download[In any](ctx context.Context, c *Client, op api.Op[In, api.Download], in In) (io.ReadCloser, error) {
	request, err := newRequest(ctx, c, op.Spec(), reflect.ValueOf(in))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/octet-stream")
	answer, err := c.do(request)
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}
