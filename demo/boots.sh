#!/usr/bin/env bash
# Every way to boot, each to an installed host that is proved by ssh, with real
# firmware in QEMU: one machine after the other, about two minutes each. One line
# a boot, with the seconds from the order to deploy to the host's own word:
#   BOOT <kind> installed <seconds>
# and one for a loader that the firmware refuses:
#   BOOT <kind> refused <code>
# BOOTS="nvme http" is some of them.
LAB_NAME=boots LOG_LINES=${LOG_LINES:-40}
. "$(dirname "$0")/lab.sh"
PATIENCE=10m

kinds=(bios-pxe uefi-pxe http secure-boot unsigned second-nic-bios second-nic-uefi nvme)
declare -A plug=(
    [bios-pxe]="--firmware bios"
    [uefi-pxe]="--firmware uefi"
    [http]="--firmware uefi --netboot http"
    [secure-boot]="--firmware uefi --secure-boot"
    [unsigned]="--firmware uefi --secure-boot"
    [second-nic-bios]="--firmware bios --nic nolink --nic model=virtio"
    [second-nic-uefi]="--firmware uefi --nic nolink --nic model=virtio"
    [nvme]="--firmware uefi --disk 4G,bus=nvme"
)
# What the installed system has to say besides its name, by kind.
declare -A proof=(
    [bios-pxe]='test ! -e /sys/firmware/efi'
    [uefi-pxe]='test -e /sys/firmware/efi'
    [http]='test -e /sys/firmware/efi'
    [secure-boot]='test "$(od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c)" -eq 1 && sudo dmesg | grep "Secure boot enabled"'
    [second-nic-bios]='test "$(cat /sys/class/net/e*/carrier 2>/dev/null | grep -c 1)" -eq 1'
    [second-nic-uefi]='test "$(cat /sys/class/net/e*/carrier 2>/dev/null | grep -c 1)" -eq 1'
    [nvme]='findmnt -no SOURCE / | grep "^/dev/nvme0n1"'
)

field() { sprout machine show "$1" --jq "$2" | tr -d '"'; }
# rack KIND: a machine of the kind, known to Sprout by all that its owner knows.
rack() {
    # shellcheck disable=SC2086 # one word a flag
    sprout lab plug "$1" --name "$LAB_NAME" --memory 1G ${plug[$1]} -o yaml >"$DIR/$1.yaml"
    sprout machine import --site boots1 -f "$DIR/$1.yaml" >/dev/null
}
# installed KIND: from a machine that nobody has seen to a host that answers.
installed() {
    local begin ip
    run sprout machine commission "$1" --skip-tests "this script installs, and nothing else" --wait
    run sprout machine allocate "$1"
    begin=$SECONDS
    run sprout machine deploy "$1" --image debian-12 --ssh-key "$DIR/key.pub" --wait --yes
    ip=$(field "$1" '.addresses[0].ip')
    in_lab "${SSH[@]}" "debian@$ip" "set -e; test \"\$(hostname -f)\" = $1.boots1.sprout.test; ${proof[$1]}" || die "$1 is not what was installed"
    echo "BOOT $1 installed $((SECONDS - begin))"
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
    [[ $code == loader-refused ]] || die "$1 failed by $code, not by loader-refused"
    echo "BOOT $1 refused $code"
    run sprout machine update "$1" --secure-boot # as the problem's remedy says
    run sprout workflow retry "$workflow" --wait
    [[ $(field "$1" .state) == ready ]] || die "$1 is not ready after the remedy"
    run sprout model set "$model" boot-ramdisk=default
    [[ $(sprout problem list --jq length) == 0 ]] || die "a problem is left"
}

start_dev
run sprout status --wait "$PATIENCE"
run sprout site create boots1 --domain boots1.sprout.test
run sprout lab up --name "$LAB_NAME" --site boots1 --cidr 10.20.0.0/24 --address 10.20.0.1 --ramdisk "$CACHE/ramdisk" --wait
run sprout network create provisioning --site boots1 --cidr 10.20.0.0/24 --gateway 10.20.0.1 --dynamic 10.20.0.100-10.20.0.199 --reserved 10.20.0.230-10.20.0.254
run sprout image import debian-12 "$CACHE/debian-12.raw.zst"
ssh-keygen -q -t ed25519 -N '' -f "$DIR/key"
# shellcheck disable=SC2206 # one word a kind
for kind in ${BOOTS:-${kinds[@]}}; do
    [[ -n ${plug[$kind]:-} ]] || die "no boot is called $kind: ${kinds[*]}"
    rack "$kind"
    if [[ -n ${proof[$kind]:-} ]]; then installed "$kind"; else refused "$kind"; fi
    sprout lab remove "$kind" --name "$LAB_NAME" >/dev/null
done
echo "BOOTS OK"
