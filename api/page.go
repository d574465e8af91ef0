package api

// A Page is one part of a list.
type Page[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"Cursor of the next page, for after; absent on the last page"`
}

// Paging says which part of a list is asked for.
type Paging struct {
	After string `query:"after" maxLength:"1024" doc:"Cursor that the page before answered as next; opaque"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many items at most"`
}

// Pages returns p: whoever turns pages finds it in any input that embeds it.
func (p *Paging) Pages() *Paging { return p }

// Paged is the pointer to an input of a list.
type Paged[In any] interface {
	*In
	Pages() *Paging
}
