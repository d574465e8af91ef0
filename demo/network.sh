#!/usr/bin/env bash
# A machine with four ports is installed with a bond, a VLAN on it, a bridge that
# asks by DHCP, and a port without an address; Debian itself says what it made
# of that. By the command line only, as an operator would.
LAB_NAME=${LAB_NAME:-network} LOG_LINES=${LOG_LINES:-40}
. "$(dirname "$0")/lab.sh"

start_dev
run sprout status --wait "$PATIENCE"
run sprout site create lab1 --domain lab1.sprout.test
run sprout lab up --name "$LAB_NAME" --site lab1 --cidr 10.20.0.0/24 --address 10.20.0.1 --ramdisk "$CACHE/ramdisk" --wait
run sprout network create prov --site lab1 --cidr 10.20.0.0/24 --gateway 10.20.0.1 --dynamic 10.20.0.100-10.20.0.199 --discover
run sprout subnet create prov --cidr fd00:20::/64
run sprout network create office --site lab1 --vlan 100 --cidr 10.30.0.0/24 --gateway 10.30.0.1
run sprout subnet update 10.30.0.0/24 --route 172.16.0.0/12=10.30.0.254 --ntp 10.30.0.123 --dns 10.30.0.53 --search office.sprout.test
run sprout lab plug m1 --name "$LAB_NAME" --memory 1G --disk 4G --nic mac=52:54:00:77:00:01 --nic mac=52:54:00:77:00:02 --nic mac=52:54:00:77:00:03 --nic mac=52:54:00:77:00:04 -o yaml >"$DIR/machines.yaml"
run sprout machine import --site lab1 -f "$DIR/machines.yaml"
run sprout machine commission m1 --skip-tests "this script installs, and nothing else" --wait

cat >"$DIR/net.yaml" <<'NET'
interfaces:
- {name: lan0, mac: "52:54:00:77:00:01"}
- {name: lan1, mac: "52:54:00:77:00:02"}
- {name: lan2, mac: "52:54:00:77:00:03"}
- {name: spare, mac: "52:54:00:77:00:04"}
- name: bond0
  bond: {members: [lan0, lan1], mode: active-backup, primary: lan1, miimon: 50}
  addresses: [{subnet: 10.20.0.0/24, ip: 10.20.0.7}, {subnet: "fd00:20::/64", ip: "fd00:20::7"}]
- name: bond0.100
  vlan: {parent: bond0, id: 100}
  mtu: 1400
  addresses: [{subnet: office}]
- name: br0
  bridge: {members: [lan2]}
  dhcp4: true
NET
run sprout machine network set m1 --file "$DIR/net.yaml"
sprout machine network show m1 -o yaml >"$DIR/again.yaml"
run sprout machine network set m1 --file "$DIR/again.yaml" -o json >/dev/null
ssh-keygen -q -t ed25519 -N '' -f "$DIR/key"
run sprout image import debian-12 "${IMAGE:-$CACHE/debian-12.raw.zst}"
run sprout machine allocate m1
run sprout machine deploy m1 --image debian-12 --ssh-key "$DIR/key.pub" --plan
run sprout machine deploy m1 --image debian-12 --ssh-key "$DIR/key.pub" --wait --yes
run sprout machine show m1

office=$(sprout machine show m1 --jq '.addresses[] | select(.ip | startswith("10.30.")) | .ip' | tr -d '"')
on() { in_lab "${SSH[@]}" debian@10.20.0.7 "$@"; }
on ip -j -d addr >"$DIR/addr.json"
on ip -j route >"$DIR/route.json"
on cat /proc/net/bonding/bond0 | tee "$DIR/bond"
on ip -br addr

holds() { # holds WHAT FILE EXPRESSION: the JSON meets it
    jq -e "$3" "$DIR/$2" >/dev/null || { jq . "$DIR/$2" >&2; die "$1"; }
    echo "Debian has: $1"
}
link() { printf '.[] | select(.ifname == "%s") | %s' "$1" "$2"; }
addr() { printf '[.addr_info[]? | select(.scope == "global") | .local]'; }
holds "bond0 with its IPv4 and its IPv6 address" addr.json "$(link bond0 "$(addr) == [\"10.20.0.7\", \"fd00:20::7\"]")"
holds "bond0 as a bond of mode active-backup" addr.json "$(link bond0 '.linkinfo.info_data | .mode == "active-backup" and .miimon == 50')"
grep -q 'Currently Active Slave: lan1' "$DIR/bond" || die "the bond does not use its primary"
grep -q 'Slave Interface: lan0' "$DIR/bond" || die "lan0 is not in the bond"
holds "bond0.100 as VLAN 100 of bond0, with its address and MTU" addr.json "$(link bond0.100 ".link == \"bond0\" and .linkinfo.info_data.id == 100 and .mtu == 1400 and $(addr) == [\"$office\"]")"
holds "br0 as a bridge, with an address by DHCP" addr.json "$(link br0 ".linkinfo.info_kind == \"bridge\" and ($(addr) | length == 1 and (.[0] | startswith(\"10.20.0.1\")))")"
holds "lan2 in br0" addr.json "$(link lan2 '.master == "br0"')"
holds "spare up, without any address" addr.json "$(link spare '(.flags | index("UP")) != null and .addr_info == []')"
holds "one default route, which DHCP brought" route.json '[.[] | select(.dst == "default")] | length == 1 and .[0].gateway == "10.20.0.1" and .[0].dev == "br0"'
holds "the subnet's static route" route.json '.[] | select(.dst == "172.16.0.0/12") | .gateway == "10.30.0.254"'
says() { # says WHAT EXPECTED COMMAND…: the host's answer has it
    on "${@:3}" >"$DIR/said"
    grep -qF -- "$2" "$DIR/said" || { cat "$DIR/said" >&2; die "$1"; }
    echo "Debian has: $1"
}
says "the agent as the bond's name server" 10.20.0.1 resolvectl dns bond0
says "the site's domain to search by the bond" lab1.sprout.test resolvectl domain bond0
says "the subnet's name server on the VLAN" 10.30.0.53 resolvectl dns bond0.100
says "the subnet's domain on the VLAN" office.sprout.test resolvectl domain bond0.100
says "the subnet's time server" 10.30.0.123 timedatectl show-timesync -p SystemNTPServers --value
[[ $(in_lab dig +short @10.20.0.1 m1.lab1.sprout.test AAAA) == fd00:20::7 ]] || die "no AAAA for m1"
[[ $(in_lab dig +short @10.20.0.1 bond0-100.m1.lab1.sprout.test A) == "$office" ]] || die "no name for the VLAN's address"

run sprout machine release m1 --wait --yes
[[ $(sprout machine show m1 --jq '.addresses | length') == 0 ]] || die "addresses are left after the release"
echo "NETWORK OK"
