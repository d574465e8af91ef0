package system

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestKernelLines(t *testing.T) {
	for record, want := range map[string]string{
		"4,512,2000000,-;nvme nvme0: I/O 12 QID 1 timeout\n SUBSYSTEM=pci\n DEVICE=+pci:0000:01:00.0\n": "nvme nvme0: I/O 12 QID 1 timeout",
		"3,513,2500000,-;" + strings.Repeat("x", 1000) + "\n":                                           strings.Repeat("x", 300),
		"6,514,2500000,-;usb 1-1: new device\n":                                                         "",
		"12,515,2500000,-;sprout: msg=order\n":                                                          "", // a program's
		"no record":                                                                                     "",
		"x,1,2,-;text":                                                                                  "",
		"3,1,x,-;text":                                                                                  "",
	} {
		line, ok := kernelLine(record, 3*time.Second)
		if ok != (want != "") || line.Text != want {
			t.Errorf("%.40q is %q, %t", record, line.Text, ok)
		}
		if ok && (line.Ago < 0.4 || line.Ago > 1.1) {
			t.Errorf("%.40q was %.1f s ago", record, line.Ago)
		}
	}
}

// This kernel's own log is read to its end, once.
func TestTheKernelsLogIsReadOnce(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("reading /dev/kmsg needs root")
	}
	log, err := OpenKernelLog()
	if err != nil {
		t.Fatal(err)
	}
	first := log.News()
	for _, line := range first {
		if line.Text == "" || line.Ago < 0 {
			t.Errorf("%+v", line)
		}
	}
	if len(first) > mostLines {
		t.Errorf("%d lines", len(first))
	}
	if again := log.News(); len(again) > 2 { // something may really have happened since
		t.Errorf("again: %+v", again)
	}
}
