package sprout

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestBootEventIsCleaned(t *testing.T) {
	long := strings.Repeat("ä", 1000)
	e := BootEvent{MAC: "no mac", What: "x\x00y", Detail: long, File: "a\nb", Code: Code(long)}.Clean()
	if e.MAC != "" || e.What != "x?y" || e.File != "a?b" || len(e.Detail) > longestDetail+3 || len(e.Code) > longestWord+3 || !utf8.ValidString(e.Detail) {
		t.Errorf("%+v", e)
	}
	if e := (BootEvent{MAC: "52:54:00:00:00:01", Detail: "offers 10.0.0.1"}); e.Clean() != e {
		t.Errorf("%+v is changed to %+v", e, e.Clean())
	}
}
