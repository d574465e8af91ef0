// Package ramdisk is what runs on a machine that Sprout has booted into
// memory: it says hello to the site's agent, takes orders one at a time (see
// package sprout, order.go), performs them and reports. It inspects, tests,
// writes images and erases disks. It must not know of sites, workflows or how
// the machine came to boot it; package ramdisk/system makes the kernel usable
// before it, package ramdisk/build packs it.
package ramdisk
