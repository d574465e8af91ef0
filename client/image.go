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
	var image sprout.Image
	request, err := newRequest(ctx, c, api.ImageImport.Spec(), reflect.ValueOf(in))
	if err != nil {
		return image, err
	}
	request.Body, request.ContentLength = io.NopCloser(in.Content), size
	request.Header.Set("Content-Type", "application/octet-stream")
	answer, err := c.do(request)
	if err != nil {
		return image, err
	}
	defer answer.Body.Close() // read to its end below
	if err := json.NewDecoder(answer.Body).Decode(&image); err != nil {
		return image, sprout.Errorf(sprout.Unavailable, "cannot read the answer: %w", err)
	}
	return image, nil
}

// ImageContent opens the bytes of an image as stored. The caller closes them.
func (c *Client) ImageContent(ctx context.Context, ref string) (io.ReadCloser, error) {
	request, err := newRequest(ctx, c, api.ImageContent.Spec(), reflect.ValueOf(api.ImageRef{Image: ref}))
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
