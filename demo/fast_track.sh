#!/usr/bin/env bash
# A machine that waits in the ramdisk, deployed: no power cycle, and kexec in place of
# the firmware, which starts it the next time, from its disk. One line a firmware, with
# the seconds from the order to deploy to the host's own word, and as long without:
#   FASTTRACK <firmware> <seconds> of <seconds>
# FIRMWARES="bios" is some of them.
LAB_NAME=${LAB_NAME:-fasttrack} LOG_LINES=${LOG_LINES:-40}
. "$(dirname "$0")/lab.sh"
PATIENCE=10m

newest() { sprout workflow list --machine "$1" --kind deploy --jq '.[0].id' | tr -d '"'; }
# deploy NAME: installs it, and sets took to how long that was.
deploy() {
    local begin
    run sprout machine allocate "$1"
    begin=$SECONDS
    run sprout machine deploy "$1" --image debian-12 --ssh-key "$DIR/key.pub" --wait --yes
    took=$((SECONDS - begin))
    ip=$(sprout machine show "$1" --jq '.addresses[0].ip' | tr -d '"')
    [[ $(on_host hostname -f) == "$1.fast1.sprout.test" ]] || die "$1 is not what was installed"
}
on_host() { in_lab "${SSH[@]}" "debian@$ip" "$@"; }
starts() { grep -c 'Loading, please wait' "$DIR/lab/machines/$1/console.log" || true; }

start_dev
run sprout status --wait "$PATIENCE"
run sprout image import debian-12 "$CACHE/debian-12.raw.zst"
ssh-keygen -q -t ed25519 -N '' -f "$DIR/key"
run sprout site create fast1 --domain fast1.sprout.test
run sprout lab up --name "$LAB_NAME" --site fast1 --cidr 10.20.0.0/24 --address 10.20.0.1 --ramdisk "$CACHE/ramdisk" --wait
run sprout network create provisioning --site fast1 --cidr 10.20.0.0/24 --gateway 10.20.0.1 --dynamic 10.20.0.100-10.20.0.199 --reserved 10.20.0.230-10.20.0.254
for firmware in ${FIRMWARES:-bios uefi}; do
    run sprout lab plug "$firmware" --name "$LAB_NAME" --memory 1G --firmware "$firmware" -o yaml >"$DIR/$firmware.yaml"
    run sprout machine import --site fast1 -f "$DIR/$firmware.yaml"
    run sprout machine commission "$firmware" --skip-tests "this script installs, and nothing else" --fast-track 1h --wait
    run sprout machine show "$firmware"
    deploy "$firmware"
    fast=$took
    run sprout workflow show "$(newest "$firmware")" | tee "$DIR/steps"
    grep -q 'no power cycle' "$DIR/steps" || die "$firmware was started anew"
    grep -q 'started by kexec' "$DIR/steps" || die "$firmware was started by its firmware"
    # What the firmware starts next is the disk.
    before=$(starts "$firmware")
    on_host sudo systemctl reboot || true # the connection ends with it
    until=$((SECONDS + 900))
    until (($(starts "$firmware") > before)); do
        ((SECONDS < until)) || die "$firmware does not start from its disk"
        sleep 1
    done
    until [[ $(on_host hostname -f 2>/dev/null || true) == "$firmware.fast1.sprout.test" ]]; do
        ((SECONDS < until)) || die "$firmware does not come back"
        sleep 1
    done
    run sprout machine release "$firmware" --wait --yes
    run sprout machine commission "$firmware" --skip-tests "this script installs, and nothing else" --wait
    deploy "$firmware"
    echo "FASTTRACK $firmware $fast of $took"
    sprout lab remove "$firmware" --name "$LAB_NAME" >/dev/null
done
