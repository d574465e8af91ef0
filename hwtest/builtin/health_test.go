package builtin_test

import (
	"strconv"
	"strings"
	"testing"

	"sprout/hwtest/builtin"
)

// beyond names the figures that are not what the test declares to be good.
func beyond(t *testing.T, name, figures string) string {
	t.Helper()
	var all []string
	for _, line := range strings.Split(strings.TrimSpace(figures), "\n") {
		figure, text, _ := strings.Cut(line, " ")
		for _, e := range builtin.Library() {
			for _, m := range e.Metrics {
				if e.Name != name || m.Name != figure {
					continue
				}
				v, err := strconv.ParseFloat(text, 64)
				if err != nil {
					t.Errorf("%s: %q is no figure", name, line)
				}
				if m.Least != nil && v < *m.Least || m.Most != nil && v > *m.Most {
					all = append(all, figure)
				}
			}
		}
	}
	return strings.Join(all, " ")
}

// A scene is a machine as a script finds it, and what it makes of that.
type scene struct {
	name    string
	finds   map[string]string
	env     []string
	status  int
	says    string
	figures string // lines that are among them, with a space between
	beyond  string // figures that fail the test
}

func (s scene) play(t *testing.T, test string) {
	t.Helper()
	status, said, figures := play(t, test, s.finds, append([]string{"SPROUT_DEVICE=sda", "SPROUT_PATH=/dev/sda"}, s.env...)...)
	if status != s.status || !strings.Contains(said, s.says) || beyond(t, test, figures) != s.beyond {
		t.Errorf("%s, %s: status %d, %q, figures %q, of which %q fail it", test, s.name, status, said, figures, beyond(t, test, figures))
	}
	for _, want := range strings.Split(s.figures, ", ") {
		if !strings.Contains("\n"+figures, "\n"+want) {
			t.Errorf("%s, %s: %q is not among the figures %q", test, s.name, want, figures)
		}
	}
}

const nvmeHealth = `echo "SMART overall-health self-assessment test result: $1"
echo "Critical Warning:                   $2"
echo "Temperature:                        31 Celsius"
echo "Available Spare:                    100%"
echo "Percentage Used:                    3%"
echo "Power On Hours:                     1,234"
echo "Media and Data Integrity Errors:    $3"
`

const ataHealth = `echo "SMART overall-health self-assessment test result: $1"
echo "  5 Reallocated_Sector_Ct   0x0033   100   100   010    Pre-fail  Always       -       $2"
echo "  9 Power_On_Hours          0x0032   097   097   000    Old_age   Always       -       12345"
echo "194 Temperature_Celsius     0x0022   064   052   000    Old_age   Always       -       36 (Min/Max 20/52)"
echo "197 Current_Pending_Sector  0x0012   100   100   000    Old_age   Always       -       $3"
`

func TestDiskHealth(t *testing.T) {
	smartctl := func(body string) map[string]string { return map[string]string{"smartctl": body} }
	for _, s := range []scene{
		{name: "NVMe, good", finds: smartctl("set PASSED 0x00 0\n" + nvmeHealth), figures: "temperature 31, power-on 1234, used 3, spare 100, media-errors 0"},
		{name: "NVMe, critical warning", finds: smartctl("set PASSED 0x04 0\n" + nvmeHealth), status: 1, says: "critical warning: 0x04"},
		{name: "NVMe, media errors", finds: smartctl("set PASSED 0x00 7\n" + nvmeHealth), figures: "media-errors 7", beyond: "media-errors"},
		{name: "ATA, good", finds: smartctl("set PASSED 0 0\n" + ataHealth), figures: "temperature 36, power-on 12345, reallocated 0, pending 0"},
		{name: "ATA, sectors gone", finds: smartctl("set PASSED 8 2\n" + ataHealth + "exit 64"), figures: "reallocated 8, pending 2", beyond: "reallocated pending"},
		{name: "ATA, failing", finds: smartctl("set FAILED! 0 0\n" + ataHealth + "exit 8"), status: 1, says: "it is failing: SMART overall-health self-assessment test result: FAILED!"},
		{name: "no SMART", finds: smartctl("echo /dev/sda: Unable to detect device type; exit 1"), status: 77, says: "does not speak SMART"},
		{name: "not to be opened", finds: smartctl("echo Smartctl open device failed; exit 2"), status: 77, says: "does not speak SMART"},
	} {
		s.play(t, "smart")
	}
}

// The test of itself of a disk that is no NVMe.
func TestATASelfTest(t *testing.T) {
	smartctl := func(begins, log string) map[string]string {
		return map[string]string{"sleep": "exit 0", "smartctl": "case $1 in --test=short) " + begins + ";; --test=*) exit 9;; *) " + log + ";; esac"}
	}
	const ran = `[ -e ran ] || { touch ran; echo "Self-test routine in progress... 90% of test remaining."; exit; }; `
	for _, s := range []scene{
		{name: "good", finds: smartctl("exit 0", `echo "# 1  Short offline       Completed without error       00%     12345         -"`), figures: "minutes 0"},
		{name: "takes a while", finds: smartctl("exit 0", ran+`echo "# 1  Short offline       Completed without error       00%     12345         -"`), figures: "minutes 0"},
		{name: "cannot read", finds: smartctl("exit 0", `echo "# 1  Short offline       Completed: read failure       90%     12345         1234567"`), status: 1, says: "ended badly: # 1"},
		{name: "an older one was bad", finds: smartctl("exit 0", `echo "# 1  Short offline       Completed without error       00%     2         -"; echo "# 2  Short offline       Completed: read failure       90%     1         7"`)},
		{name: "no record", finds: smartctl("exit 0", "exit 0"), status: 77, says: "no record"},
		{name: "none", finds: smartctl("echo not supported; exit 4", "exit 0"), status: 77, says: "no test of itself"},
	} {
		s.env = []string{"SPROUT_EXTENT=short"}
		s.play(t, "smart-selftest")
	}
}

func TestDiskSpeedAndSurface(t *testing.T) {
	const fio = `for a; do case $a in --name=*) job=${a#*=};; --runtime=*) [ $a = --runtime=10 ] || exit 9;; --bs=*) bs=${a#*=};; --iodepth=*) depth=${a#*=};; esac; done
case $job-$bs-$depth in
random-8192-32) echo "3;fio-3.33;random;0;0;1000000;200000;25000;10000;1;2;3;4;5;6;7;8;99.000000%=750;0%=0";;
sequence-1M-4) echo "3;fio-3.33;sequence;0;0;5120000;512000;500;10000;1;2;3;4;5;6;7;8;99.000000%=9000;0%=0";;
*) exit 9;;
esac`
	env := []string{"SPROUT_RUNTIME=20", "SPROUT_BLOCK=8192", "SPROUT_DEPTH=32"}
	for _, s := range []scene{
		{name: "good", finds: map[string]string{"fio": fio}, env: env, figures: "iops 25000, latency 0.750, bandwidth 524.3"},
		{name: "cannot be read", finds: map[string]string{"fio": `echo "fio: io_u error on file /dev/sda: Input/output error: read offset=0" >&2; exit 1`}, env: env,
			status: 1, says: "reading failed: fio: io_u error on file /dev/sda: Input/output error"},
	} {
		s.play(t, "disk-speed")
	}
	for _, s := range []scene{
		{name: "good", finds: map[string]string{"badblocks": ": >bad"}, figures: "bad 0"},
		{name: "two blocks", finds: map[string]string{"badblocks": "printf '7\n9\n' >bad"}, status: 1, says: "2 blocks of 64 KiB cannot be read, the first at 448 KiB", figures: "bad 2", beyond: "bad"},
		{name: "is gone", finds: map[string]string{"badblocks": ": >bad; echo badblocks: No such device >&2; exit 1"}, status: 1, says: "No such device"},
	} {
		s.env = []string{"SPROUT_MOST=10"}
		s.play(t, "disk-surface")
	}
}

func TestMemory(t *testing.T) {
	const edac = "/sys/devices/system/edac/mc/mc0/"
	for _, s := range []scene{
		{name: "good", finds: map[string]string{edac + "ce_count": "3\n", edac + "ue_count": "0\n"}, figures: "corrected 3, uncorrected 0"},
		{name: "of two controllers", finds: map[string]string{edac + "ce_count": "60\n", "/sys/devices/system/edac/mc/mc1/ce_count": "70\n", edac + "ue_count": "0\n"}, figures: "corrected 130", beyond: "corrected"},
		{name: "not corrected", finds: map[string]string{edac + "ce_count": "0\n", edac + "ue_count": "1\n"}, figures: "uncorrected 1", beyond: "uncorrected"},
		{name: "not counted", finds: map[string]string{"/sys/devices/system/edac/mc/power/control": "auto\n"}, status: 77, says: "counts no errors"},
	} {
		s.play(t, "ecc")
	}
	for _, s := range []scene{
		{name: "all of it", env: []string{"SPROUT_LEAST=17179869184"}, figures: "memory 15625"},
		{name: "any", env: []string{"SPROUT_LEAST=0"}, figures: "memory 15625"},
		{name: "a module is missing", env: []string{"SPROUT_LEAST=34359738368"}, status: 1, says: "the machine has 15625 MiB of memory, and must have 32768", figures: "memory 15625"},
	} {
		s.finds = map[string]string{"/proc/meminfo": "MemTotal:       16000000 kB\nMemFree:         1000000 kB\n"}
		s.play(t, "memory-size")
	}
}

func TestNodeHealth(t *testing.T) {
	sensor := func(now, critical string) map[string]string {
		return map[string]string{"/sys/class/hwmon/hwmon0/name": "coretemp\n", "/sys/class/hwmon/hwmon0/temp1_input": now, "/sys/class/hwmon/hwmon0/temp1_label": "Package\n",
			"/sys/class/hwmon/hwmon0/temp1_crit": critical, "/sys/class/hwmon/hwmon1/name": "nvme\n", "/sys/class/hwmon/hwmon1/temp1_input": "31850\n"}
	}
	for _, s := range []scene{
		{name: "cool", finds: sensor("45000\n", "100000\n"), figures: "sensors 2, hottest 45"},
		{name: "what it calls critical itself", finds: sensor("84000\n", "84000\n"), status: 1, says: "coretemp Package is at 84 °C, and 84 are critical", figures: "hottest 84"},
		{name: "hot", finds: sensor("97000\n", "105000\n"), figures: "hottest 97", beyond: "hottest"},
		{name: "none", finds: map[string]string{"/sys/class/hwmon/hwmon0/name": "acpi\n"}, status: 77, says: "no sensors"},
	} {
		s.play(t, "sensors")
	}
	const entries = `echo "   1 | 01/02/2026 | 10:00:00 | Power Supply #0x51 | Presence detected | Asserted"
echo "   2 | 01/03/2026 | 11:00:00 | Memory #0x01 | Uncorrectable ECC | Asserted"`
	log := func(body string) map[string]string {
		return map[string]string{"/dev/ipmi0": "", "ipmitool": `[ "$*" = "sel elist" ] || exit 9` + "\n" + body}
	}
	for _, s := range []scene{
		{name: "empty", finds: log("echo SEL has no entries"), figures: "entries 0, bad 0"},
		{name: "an uncorrectable error", finds: log(entries), status: 1, says: "1 bad entries, the last:    2 | 01/03/2026 | 11:00:00 | Memory #0x01 | Uncorrectable ECC", figures: "entries 2, bad 1"},
		{name: "that is borne", finds: log(entries), env: []string{"SPROUT_MOST=1"}, figures: "entries 2, bad 1"},
		{name: "not to be read", finds: log("echo Unable to get the log; exit 1"), status: 1, says: "cannot be read"},
		{name: "no BMC", finds: map[string]string{"/dev/tty": ""}, status: 77, says: "no BMC"},
	} {
		s.env = append([]string{"SPROUT_MOST=0"}, s.env...)
		s.play(t, "bmc-log")
	}
}

// The link of a port: its speed, what goes wrong on it, and how fast the agent sends.
func TestPortHealth(t *testing.T) {
	const port, add = "/sys/class/net/eth0/", `add() { f=sys/class/net/eth0/$1; echo $(($(cat $f) + $2)) >$f; }; `
	finds := func(carrier, speed, curl string) map[string]string {
		return map[string]string{
			"ip": "echo inet 10.0.0.7/24 scope global eth0", "curl": add + curl,
			port + "carrier": carrier, port + "speed": speed, port + "carrier_changes": "2\n",
			port + "statistics/rx_errors": "5\n", port + "statistics/tx_errors": "1\n", port + "statistics/rx_bytes": "1000\n",
		}
	}
	const download = `/bin/sleep 0.2; add statistics/rx_bytes 33554432`
	for _, s := range []scene{
		{name: "good", finds: finds("1\n", "25000\n", download), figures: "speed 25000, errors 0, changes 0, throughput "},
		{name: "too slow", finds: finds("1\n", "1000\n", download), env: []string{"SPROUT_SPEED=25000"}, status: 1, says: "the link has 1000 Mb/s, and must have 25000"},
		{name: "down", finds: finds("0\n", "-1\n", download), status: 1, says: "the link of eth0 is down"},
		{name: "errors", finds: finds("1\n", "1000\n", download+"; [ -e once ] || { touch once; add statistics/rx_errors 3; }"), figures: "errors 3", beyond: "errors"},
		{name: "goes and comes", finds: finds("1\n", "1000\n", download+"; [ -e once ] || { touch once; add carrier_changes 2; }"), figures: "changes 2", beyond: "changes"},
		{name: "no download", finds: finds("1\n", "1000\n", `echo "curl: (7) Failed to connect" >&2; exit 7`), status: 1, says: "a download from the agent failed: curl: (7)"},
	} {
		s.env = append([]string{"SPROUT_DEVICE=eth0", "SPROUT_RUNTIME=1", "SPROUT_SPEED=0", "SPROUT_AGENT=http://10.0.0.1", "SPROUT_TOKEN=x"}, s.env...)
		s.play(t, "nic-errors")
	}
}
