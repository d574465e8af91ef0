package client

import (
	"cmp"
	"context"
	"iter"

	"sprout/api"
)

// pageSize is how many items a list is asked for at a time.
const pageSize = 500

// All goes through the items of a list from in's page on, and asks for the next
// page when one is used up; in's limit is the size of a page. Items that come or
// go meanwhile neither repeat nor hide others. It ends after the first error.
func All[In, T any, P api.Paged[In]](ctx context.Context, c *Client, op api.Op[In, api.Page[T]], in In) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		in := in // each walk begins anew
		at := P(&in).Pages()
		at.Limit = cmp.Or(at.Limit, pageSize)
		for {
			page, err := Call(ctx, c, op, in)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if at.After = page.Next; at.After == "" {
				return
			}
		}
	}
}

// List returns the items of a list, at most limit; 0: all of them.
func List[In, T any, P api.Paged[In]](ctx context.Context, c *Client, op api.Op[In, api.Page[T]], in In, limit int) ([]T, error) {
	if limit > 0 {
		P(&in).Pages().Limit = min(limit, pageSize)
	}
	list := []T{}
	for item, err := range All[In, T, P](ctx, c, op, in) {
		if err != nil {
			return nil, err
		}
		if list = append(list, item); len(list) == limit {
			break
		}
	}
	return list, nil
}
