#!/usr/bin/env bash
# Every way to boot, each to an installed host that is proved by ssh, with real
# firmware in QEMU: one machine after the other, about two minutes each. One line
# a boot, with the seconds from the order to deploy to the host's own word:
#   BOOT <kind> installed <seconds>
# and one for what is refused, with the code of its problem:
#   BOOT <kind> refused <code>
# BOOTS="nvme http" is some of them; those of arm64, arm64 and arm64-secure, are made
# only when they are named, as make test-arm64 does.
LAB_NAME=${LAB_NAME:-boots} LOG_LINES=${LOG_LINES:-40}
. "$(dirname "$0")/lab.sh"
PATIENCE=10m

kinds=(bios-pxe uefi-pxe http secure-boot unsigned second-nic-bios second-nic-uefi nvme virtual-media virtual-media-secure no-virtual-media second-boot ipv6-pxe ipv6-http ipv6-virtual-media) # those of IPv6 are at another site, and last
declare -A plug=(
    [bios-pxe]="--firmware bios"
    [uefi-pxe]="--firmware uefi"
    [http]="--firmware uefi --netboot http"
    [secure-boot]="--firmware uefi --secure-boot"
    [unsigned]="--firmware uefi --secure-boot"
    [second-nic-bios]="--firmware bios --nic nolink,mac=52:54:00:77:01:01 --nic model=virtio,mac=52:54:00:77:01:02"
    [second-nic-uefi]="--firmware uefi --nic nolink,mac=52:54:00:77:02:01 --nic model=virtio,mac=52:54:00:77:02:02"
    [nvme]="--firmware uefi --disk 4G,bus=nvme"
    [virtual-media]="--firmware uefi"
    [virtual-media-secure]="--firmware uefi --secure-boot"
    [no-virtual-media]="--firmware uefi --no-virtual-media"
    [ipv6-pxe]="--firmware uefi --netboot pxe6"
    [ipv6-http]="--firmware uefi --netboot http"
    [ipv6-virtual-media]="--firmware uefi"
    [second-boot]="--firmware bios"
    [arm64]="--arch arm64"
    [arm64-secure]="--arch arm64 --secure-boot"
)
# Which image, where not that of amd64.
declare -A image=([arm64]=-arm64 [arm64-secure]=-arm64)
# What is refused, and the problem that says so.
declare -A refusal=([unsigned]=loader-refused [no-virtual-media]=media-refused)
# What the installed system has to say besides its name, by kind.
no_lease='test -z "$(ls /run/systemd/netif/leases /var/lib/dhcp 2>/dev/null | grep -v :$)"'
no_ipv4='test -z "$(ip -4 -br addr show scope global)"'
second_nic() { echo "test \$(ls -d /sys/class/net/e* | wc -l) -eq 2 && test \"\$(grep -lx 1 /sys/class/net/e*/carrier 2>/dev/null | xargs -n1 dirname | xargs -I{} cat {}/address)\" = $1"; }
declare -A proof=(
    [bios-pxe]='test ! -e /sys/firmware/efi'
    [uefi-pxe]='test -e /sys/firmware/efi'
    [http]='test -e /sys/firmware/efi'
    [secure-boot]='test "$(od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c)" -eq 1 && sudo dmesg | grep "Secure boot enabled"'
    [second-nic-bios]=$(second_nic 52:54:00:77:01:02)
    [second-nic-uefi]=$(second_nic 52:54:00:77:02:02)
    [nvme]='findmnt -no SOURCE / | grep "^/dev/nvme0n1"'
    [virtual-media]="test -e /sys/firmware/efi && $no_lease"
    [virtual-media-secure]="sudo dmesg | grep 'Secure boot enabled' && $no_lease"
    [arm64]='test "$(uname -m)" = aarch64'
    [arm64-secure]='test "$(uname -m)" = aarch64 && sudo dmesg | grep -i "secure boot enabled"'
    [ipv6-pxe]=$no_ipv4
    [ipv6-http]=$no_ipv4
    [ipv6-virtual-media]="$no_ipv4 && $no_lease"
    [second-boot]='grep -q "installed by sprout" /etc/motd'
)
# What the timeline of every boot into the ramdisk has to show, by kind: a jq
# expression over its events.
said='def by(what; file): any(.[]; .what == what and (.file // "" | endswith(file))); def none_of(p): all(.[]; .what | startswith(p) | not);'
only6='all(.[]; (.from // "::" | contains(":")) and (.ip // "::" | contains(":")))'
declare -A shown=(
    [bios-pxe]='any(.[]; .client == "ipxe") and by("http-script"; "")'
    [uefi-pxe]='by("tftp-done"; "snponly.efi")'
    [http]='by("http-snponly.efi"; "") and none_of("tftp-")'
    [secure-boot]='by("tftp-done"; "shimx64.efi") and by("tftp-done"; "grubx64.efi") and by("tftp-done"; "vmlinuz")'
    [second-nic-bios]='all(.[] | select(.what | startswith("dhcp-")); .mac == "52:54:00:77:01:02")'
    [second-nic-uefi]='by("tftp-done"; "snponly.efi") and all(.[] | select(.what | startswith("dhcp-")); .mac == "52:54:00:77:02:02")'
    [nvme]='by("tftp-done"; "snponly.efi")'
    [virtual-media]='by("http-media"; "") and none_of("dhcp-")'
    [virtual-media-secure]='by("http-media"; "") and none_of("dhcp-")'
    [ipv6-pxe]="by(\"tftp-done\"; \"snponly.efi\") and $only6"
    [ipv6-http]="by(\"http-snponly.efi\"; \"\") and none_of(\"tftp-\") and $only6"
    [ipv6-virtual-media]="by(\"http-media\"; \"\") and none_of(\"dhcp-\") and $only6"
)

field() { sprout machine show "$1" --jq "$2" | tr -d '"'; }
# rack KIND: a machine of the kind, known to Sprout by all that its owner knows.
rack() {
    # shellcheck disable=SC2086 # one word a flag
    sprout lab plug "$1" --name "$LAB_NAME" --memory 1G ${plug[$1]} -o yaml >"$DIR/$1.yaml"
    sprout machine import --site "$SITE" -f "$DIR/$1.yaml" >/dev/null
}
# site4 and site6: a site with a lab of its own, of IPv4, and of IPv6 alone.
site4() {
    CIDR=10.20.0.0/24
    at boots1 --cidr 10.20.0.0/24 --address 10.20.0.1
    run sprout network create provisioning --site boots1 --cidr 10.20.0.0/24 --gateway 10.20.0.1 --dynamic 10.20.0.100-10.20.0.199 --reserved 10.20.0.230-10.20.0.254 --discover
}
site6() {
    CIDR=fd00:20::/64
    at boots6 --cidr 10.20.0.0/24 --address 10.20.0.1 --address6 fd00:20::1/64 --ipv6-only
    run sprout network create provisioning --site boots6 --cidr fd00:20::/64 --dynamic fd00:20::1:0-fd00:20::1:ffff --reserved fd00:20::f000-fd00:20::ffff
}
at() { # at SITE FLAG…: the lab is at another site from now on
    [[ -z ${SITE:-} ]] || run sprout lab down --name "$LAB_NAME"
    SITE=$1
    run sprout site create "$1" --domain "$1.sprout.test"
    run sprout lab up --name "$LAB_NAME" --site "$1" "${@:2}" --ramdisk "$CACHE/ramdisk" --wait
}
# installed KIND [FLAG…]: from a machine that nobody has seen to a host that answers.
installed() {
    local begin ip
    run sprout machine commission "$1" --skip-tests "this script installs, and nothing else" --wait
    run sprout machine allocate "$1"
    begin=$SECONDS
    run sprout machine deploy "$1" --image "debian-12${image[$1]:-}" --ssh-key "$DIR/key.pub" "${@:2}" --wait --yes
    ip=$(field "$1" '.addresses[0].ip')
    in_lab "${SSH[@]}" "debian@$ip" "set -e; test \"\$(hostname -f)\" = $1.$SITE.sprout.test; ${proof[$1]}" || die "$1 is not what was installed"
    booted "$1"
    echo "BOOT $1 installed $((SECONDS - begin))"
}
# booted KIND: its commissioning and its deploy each came to the ramdisk by what the
# kind is called after.
booted() {
    local attempt hellos=0
    for attempt in $(sprout boot list "$1" --jq '.[].id' | tr -d '"'); do
        sprout boot show "$1" --attempt "$attempt" -o json >"$DIR/boot.json"
        jq -e '[.events[] | select(.what == "ramdisk-hello")] == []' "$DIR/boot.json" >/dev/null && continue
        hellos=$((hellos + 1))
        [[ -z ${shown[$1]:-} ]] || jq -e ".events | $said ${shown[$1]}" "$DIR/boot.json" >/dev/null || {
            jq -c '.events[]' "$DIR/boot.json" >&2
            die "$attempt of $1 does not show that it booted by $1: ${shown[$1]}"
        }
    done
    ((hellos >= 2)) || die "$1 came to the ramdisk $hellos times, not to commission and to deploy"
}
# found KIND: plugged in and switched on, a machine that Sprout has not heard of is
# discovered, and accepted under the name of its kind.
found() {
    local name
    # shellcheck disable=SC2086 # one word a flag
    run sprout lab plug "$1" --name "$LAB_NAME" --memory 1G ${plug[$1]} --power-on --accept-as "$DIR/$1.bmc"
    run sprout machine wait --state discovered --count 1 --timeout "$PATIENCE"
    name=$(sprout machine list --state discovered --jq '.[0].name' | tr -d '"')
    [[ $(field "$name" .architecture) == arm64 ]] || die "$name is not found to be of arm64"
    run sprout machine accept "$name" --name "$1" --bmc-file "$DIR/$1.bmc"
}
# without_dhcp KIND: its BMC inserts what it boots where DHCP is off, and nothing of
# it asks for an address; the drive is empty afterwards.
without_dhcp() {
    local url password
    run sprout subnet update "$CIDR" --dhcp off
    run sprout machine update "$1" --virtual-media
    installed "$1"
    url=$(sed -n 's/.*url: *//p' "$DIR/$1.yaml" | tr -d '"' | head -1)
    password=$(sed -n 's/.*password: *//p' "$DIR/$1.yaml" | tr -d '"' | head -1)
    in_lab curl -fsu "admin:$password" "$url/redfish/v1/Systems/1/VirtualMedia/Cd" | jq -e '.Inserted == false and .Image == null' >/dev/null || die "the virtual drive of $1 is not empty"
    run sprout subnet update "$CIDR" --dhcp server
}
# boots_again KIND: what told the system who it is has ended by its second boot.
# That is the same host, with its keys, and waits for nobody.
boots_again() {
    local ip first same asked again boot until
    printf '#cloud-config\nwrite_files: [{path: /etc/motd, content: "installed by sprout\\n"}]\n' >"$DIR/user-data.yaml"
    installed "$1" --metadata http --user-data "$DIR/user-data.yaml"
    ip=$(field "$1" '.addresses[0].ip')
    on_host() { in_lab "${SSH[@]}" "debian@$ip" "$@"; }
    # What a second boot must not change, and when cloud-init was done, in µs of the boot.
    local who='cat /etc/ssh/ssh_host_*_key.pub /etc/machine-id /var/lib/cloud/data/instance-id ~/.ssh/authorized_keys /etc/hostname /etc/motd; ip -br addr show scope global'
    local done_at='cloud-init status --wait >/dev/null; systemctl show -P ExecMainExitTimestampMonotonic cloud-final'
    first=$(on_host "$done_at") same=$(on_host "$who")
    asked=$(sprout boot show "$1" -o json | jq '[.events[] | select(.what == "http-metadata") | .count // 1] | add')
    run sprout boot show "$1"
    boot=$(on_host cat /proc/sys/kernel/random/boot_id)
    on_host sudo systemctl reboot || true # the connection ends with it
    until=$((SECONDS + 900))
    until [[ $(on_host cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo "$boot") != "$boot" ]]; do
        ((SECONDS < until)) || die "$1 does not come back"
        sleep 1
    done
    again=$(on_host "$done_at")
    echo "cloud-init was done $((first / 1000000)) s after the first boot began, and $((again / 1000000)) s after the second"
    ((again < first + 20000000)) || die "the second boot of $1 waits for what is not there any more"
    diff <(echo "$same") <(on_host "$who") || die "the second boot of $1 made another host of it"
    on_host 'cloud-init status --long; cat /run/cloud-init/result.json' | tee "$DIR/cloud-init"
    grep -q 'status: done' "$DIR/cloud-init" && grep -q '"errors": \[\]' "$DIR/cloud-init" || die "cloud-init is not content with the second boot of $1"
    echo "BOOT $1 booted again $((again / 1000000)), $asked questions for metadata"
}
# media_refused KIND: its BMC has no virtual media, and somebody wants it to boot by them.
media_refused() {
    local workflow code
    run sprout machine update "$1" --virtual-media
    run sprout machine commission "$1" --skip-tests "this script installs, and nothing else"
    workflow=$(field "$1" .activity.workflow)
    must_fail sprout workflow wait "$workflow"
    code=$(sprout workflow show "$workflow" --jq .error.code | tr -d '"')
    run sprout problem list
    [[ $code == "${refusal[$1]}" ]] || die "$1 failed by $code, not by ${refusal[$1]}"
    [[ $(sprout problem list --jq '[.[].code] | join(" ")' | tr -d '"') == "$code" ]] || die "the problems are not $code alone"
    [[ $(field "$1" '.addresses | length') == 0 ]] || die "$1 keeps the address of a commissioning that failed"
    echo "BOOT $1 refused $code"
    run sprout machine update "$1" --virtual-media=false # as the problem's remedy says
    run sprout machine commission "$1" --skip-tests "this script installs, and nothing else" --wait
    [[ $(sprout problem list --jq length) == 0 ]] || die "a problem is left"
}
# refused KIND: the firmware enforces Secure Boot, and nobody has told Sprout.
refused() {
    local workflow code model
    run sprout machine commission "$1" --skip-tests "this script installs, and nothing else" --wait
    model=$(sprout model list --jq '.[0] | .vendor + " " + .name' | tr -d '"')
    run sprout model set "$model" boot-ramdisk=4m # now that the model is known: a quarter of the usual
    run sprout machine update "$1" --secure-boot=false
    run sprout machine commission "$1" --skip-tests "this script installs, and nothing else"
    workflow=$(field "$1" .activity.workflow)
    must_fail sprout workflow wait "$workflow"
    code=$(sprout workflow show "$workflow" --jq .error.code | tr -d '"')
    run sprout problem list
    [[ $code == "${refusal[$1]}" ]] || die "$1 failed by $code, not by ${refusal[$1]}"
    [[ $(sprout problem list --jq '[.[].code] | join(" ")' | tr -d '"') == "$code" ]] || die "the problems are not $code alone"
    echo "BOOT $1 refused $code"
    run sprout machine update "$1" --secure-boot # as the problem's remedy says
    run sprout workflow retry "$workflow" --wait
    [[ $(field "$1" .state) == ready ]] || die "$1 is not ready after the remedy"
    run sprout model set "$model" boot-ramdisk=default
    [[ $(sprout problem list --jq length) == 0 ]] || die "a problem is left"
}

start_dev
run sprout status --wait "$PATIENCE"
[[ ${BOOTS:-amd64} == arm64* ]] || run sprout image import debian-12 "$CACHE/debian-12.raw.zst"
[[ ${BOOTS:-} != *arm64* ]] || run sprout image import debian-12-arm64 "$CACHE/debian-12-arm64.raw.zst" --arch arm64
ssh-keygen -q -t ed25519 -N '' -f "$DIR/key"
# shellcheck disable=SC2206 # one word a kind
for kind in ${BOOTS:-${kinds[@]}}; do
    [[ -n ${plug[$kind]:-} ]] || die "no boot is called $kind: ${kinds[*]}"
    case $kind in
        ipv6-*) [[ ${SITE:-} == boots6 ]] || site6 ;;
        *) [[ ${SITE:-} == boots1 ]] || site4 ;;
    esac
    case $kind in
        arm64) found "$kind" ;;
        *) rack "$kind" ;;
    esac
    case $kind in
        unsigned) refused "$kind" ;;
        virtual-media* | ipv6-virtual-media) without_dhcp "$kind" ;;
        second-boot) boots_again "$kind" ;;
        no-virtual-media) media_refused "$kind" ;;
        *) installed "$kind" ;;
    esac
    sprout lab remove "$kind" --name "$LAB_NAME" >/dev/null
done
echo "BOOTS OK"
