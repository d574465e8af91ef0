// Package docs is the part of the documentation that the program carries with
// it: a page for each problem code, so that who reads of a problem also reads
// what to do about it, without another site. It must not know who shows it.
package docs

import (
	"embed"

	"sprout"
)

//go:embed problems.md problems/*.md
var files embed.FS

// Problem returns the page of a problem code, in Markdown; NotFound if there is
// no such code.
func Problem(code sprout.Code) (string, error) {
	raw, err := files.ReadFile("problems/" + string(code) + ".md")
	if err != nil {
		return "", sprout.Errorf(sprout.NotFound, "cannot find a problem code %q", code).WithRemedy("sprout problem explain")
	}
	return string(raw), nil
}

// Problems returns the page that lists every problem code, in Markdown.
func Problems() (string, error) {
	raw, err := files.ReadFile("problems.md")
	return string(raw), err
}
