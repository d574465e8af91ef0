// Package boot decides what a machine boots and serves it: the iPXE script that
// names the ramdisk or sends the machine to its disk, and the files. It knows
// boot intents, and must not know why a workflow wants one.
package boot
