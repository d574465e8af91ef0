package client

import (
	"context"
	"io"

	"sprout"
	"sprout/api"
)

// AddTest uploads the executable in.Content, which has size bytes (negative: unknown).
func (c *Client) AddTest(ctx context.Context, in api.AddTest, size int64) (sprout.Test, error) {
	return upload(ctx, c, api.TestAdd, in, in.Content, size)
}

// TestContent opens the executable of a test. The caller closes it.
func (c *Client) TestContent(ctx context.Context, ref string) (io.ReadCloser, error) {
	return download(ctx, c, api.TestContent, api.TestRef{Test: ref})
}
