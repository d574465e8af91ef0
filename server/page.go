package server

import (
	"sprout/api"
	"sprout/store"
)

// page turns what was asked for of a list into what the store takes.
func page(in api.Paging) store.Page { return sorted(in, "") }

// sorted is page in an order.
func sorted(in api.Paging, sort string) store.Page {
	return store.Page{After: in.After, Limit: in.Limit, Sort: sort}
}

// paged answers a part of a list.
func paged[T any](list []T, next string, err error) (api.Page[T], error) {
	return api.Page[T]{Items: filled(list), Next: next}, err
}

// all reads every page of a list.
func all[T any](page func(store.Page) ([]T, string, error)) ([]T, error) {
	whole := []T{}
	for after := ""; ; {
		part, next, err := page(store.Page{After: after, Limit: 1000})
		if err != nil {
			return nil, err
		}
		whole = append(whole, part...)
		if next == "" {
			return whole, nil
		}
		after = next
	}
}
