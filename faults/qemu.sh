#!/usr/bin/env bash
# A dozen faults on two machines with real firmware, one BIOS and one UEFI, in
# QEMU: what package faults does to thousands of simulated steps, by the command
# line, where kernel, disk and cloud-init are real. One line a fault:
#   FAULT <who> <workflow>/<step> <how> <outcome> qemu <machine>
. "$(dirname "$0")/../demo/lab.sh"
SITE=faults1 bad=0

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
API=127.0.0.1:$(free_port) BUS=127.0.0.1:$(free_port)

start_server() {
    start_dev
    sprout status --wait 60s >/dev/null
}
kill_server() {
    kill -KILL "$dev"
    wait "$dev" 2>/dev/null || true
    start_server
}
stop_server() {
    kill -STOP "$dev"
    sleep "$1"
    kill -CONT "$dev"
}
postmaster() { head -n 1 "$DIR/dev/postgres/data/postmaster.pid"; }
# The control plane ends with its private PostgreSQL, and says so; who runs it
# starts it again. The dead one's children hold its data for a moment.
kill_postgres() {
    local children
    children=$(pgrep -P "$(postmaster)" | paste -sd, || true)
    kill -KILL "$(postmaster)"
    wait "$dev" 2>/dev/null || true
    while [[ -n $children ]] && ps -o pid= -p "$children" >/dev/null; do sleep 0.1; done
    start_server
}
stop_postgres() {
    local pids
    pids=$(postmaster)
    kill -STOP "$pids" # it starts no more children
    pids+=" $(pgrep -P "$pids" | paste -sd' ')"
    # shellcheck disable=SC2086 # one word a process
    kill -STOP $pids
    sleep "$1"
    # shellcheck disable=SC2086
    kill -CONT $pids
}
cut_wan() {
    sprout lab wan cut >/dev/null
    sleep "$1"
    sprout lab wan heal >/dev/null
}

step_of() { sprout machine show "$1" --jq '.activity.step // ""' | tr -d '"'; }
await_step() { # await_step MACHINE STEP: until its workflow says that it is there
    local until=$((SECONDS + 300)) step
    while step=$(step_of "$1"); [[ $step != "$2" ]]; do
        ((SECONDS < until)) || { echo "$1 does not come to $2; it is at $step" >&2; return 1; }
    done
}
begin() { # begin COMMAND…: what it begins is the workflow of each machine
    sprout "$@" >/dev/null
    for m in m1 m2; do
        workflow[$m]=$(sprout machine show $m --jq .activity.workflow | tr -d '"')
    done
}
declare -A workflow

# settle WHO KIND/STEP HOW MACHINE: how it ends, as an operator would see to it.
settle() {
    local id=${workflow[$4]} outcome=finished code
    if ! sprout workflow wait "$id" >/dev/null 2>&1; then
        code=$(sprout workflow show "$id" --jq '.error.code // ""' | tr -d '"')
        outcome="retried $code"
        if [[ -z $code || $code == internal ]] || ! sprout workflow retry "$id" --wait >/dev/null 2>&1; then
            outcome="failed $code" bad=1
        fi
    fi
    echo "FAULT $1 $2 $3 $outcome qemu $4"
}
# shared WHO HOW KIND STEP COMMAND…: breaks what both machines share while m1 is at
# the step, and sees how both end.
shared() {
    local who=$1 how=$2 kind=$3 step=$4 other
    shift 4
    await_step m1 "$step"
    other=$(step_of m2)
    "$@"
    settle "$who" "$kind/$step" "$how" m1
    settle "$who" "$kind/${other:-end}" "$how" m2
}
# unplugged KIND STEP1 STEP2: m1 loses power at STEP1, m2 at STEP2.
unplugged() {
    sprout lab unplug m1 --during "$2" >/dev/null &
    local one=$!
    sprout lab unplug m2 --during "$3" >/dev/null
    wait $one
    settle power "$1/$2" lost m1
    settle power "$1/$3" lost m2
}
must_be() { # must_be STATE: both machines
    [[ $(sprout machine list --state "$1" --jq length) == 2 ]] || { echo "not both machines are $1" >&2; sprout machine list >&2; exit 1; }
}

start_server
sprout site create $SITE --domain $SITE.sprout.test >/dev/null
sprout lab up --site $SITE --cidr 10.20.0.0/24 --address 10.20.0.1 --ramdisk "$CACHE/ramdisk" --wait >/dev/null
sprout network create provisioning --site $SITE --cidr 10.20.0.0/24 --gateway 10.20.0.1 --dynamic 10.20.0.100-10.20.0.199 --reserved 10.20.0.240-10.20.0.254 >/dev/null
for firmware in bios uefi; do
    sprout lab plug "$([[ $firmware == bios ]] && echo m1 || echo m2)" --firmware $firmware --memory 1G --disk 4G -o yaml >"$DIR/machine.yaml"
    sprout machine import --site $SITE -f "$DIR/machine.yaml" >/dev/null
done
sprout image import debian-12 "$CACHE/debian-12.raw.zst" >/dev/null

begin machine commission m1 m2
shared agent kill commission inspect sprout lab agent kill
must_be ready
sprout machine allocate m1 >/dev/null
sprout machine allocate m2 >/dev/null

begin machine deploy m1 m2 --image debian-12 --yes
shared server kill deploy write-image kill_server
must_be deployed

begin machine release m1 m2 --erase --yes
shared wan cut release boot-ramdisk cut_wan 30
must_be ready
sprout machine allocate m1 >/dev/null
sprout machine allocate m2 >/dev/null

begin machine deploy m1 m2 --image debian-12 --yes
unplugged deploy write-image phone-home
must_be deployed

begin machine release m1 m2 --erase --yes
unplugged release boot-ramdisk erase-disks
must_be ready
sprout machine allocate m1 >/dev/null
sprout machine allocate m2 >/dev/null

begin machine deploy m1 m2 --image debian-12 --yes
shared postgres stop deploy write-image stop_postgres 60
must_be deployed

begin machine release m1 m2 --yes
shared server stop release power-off stop_server 60
must_be ready

begin machine commission m1 m2
shared postgres kill commission inspect kill_postgres
must_be ready

sprout problem list --jq length | grep -qx 0 || { sprout problem list >&2; bad=1; }
sprout audit verify
exit $bad
