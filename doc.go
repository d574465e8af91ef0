// Package sprout holds the nouns of bare-metal provisioning as every other
// package speaks them: sites, machines, networks, images, workflows, problems.
// It also holds the rules that are tables: the lifecycle, the error kinds, the
// problem codes. It performs no I/O and imports the standard library only.
package sprout

// Version is the version of this build; the linker sets it
// (-ldflags "-X sprout.Version=…").
var Version = "dev"
