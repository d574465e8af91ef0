// Package docs is the part of the documentation that the program carries with
// it: a page for each problem code and for each type of error, so that who reads
// of one also reads what to do about it, without another site. It must not know who shows it.
package docs

import (
	"embed"

	"sprout"
)

//go:embed problems.md problems/*.md errors.md errors/*.md
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

// Error returns the page of a type of error of the API, in Markdown; NotFound if
// there is no such type.
func Error(name string) (string, error) {
	raw, err := files.ReadFile("errors/" + name + ".md")
	if err != nil {
		return "", sprout.Errorf(sprout.NotFound, "cannot find a type of error %q", name).WithRemedy("GET /docs/errors/ lists them")
	}
	return string(raw), nil
}

// Errors returns the page that lists every type of error, in Markdown.
func Errors() (string, error) {
	raw, err := files.ReadFile("errors.md")
	return string(raw), err
}
