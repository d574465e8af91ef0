// CoreDNS with nothing but what serves a zone from a file: the peer of
// `make bench-dns`. It is a module of its own, so that Sprout's has none of it.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	_ "github.com/coredns/coredns/plugin/file"
	_ "github.com/coredns/coredns/plugin/multisocket"

	"github.com/coredns/coredns/coremain"
)

func main() {
	dnsserver.Directives = []string{"multisocket", "file"}
	coremain.Run()
}
