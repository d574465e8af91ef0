# What the scripts share that try Sprout on a lab by the command line, as an
# operator would: sourced, not run. A directory of its own, a control plane, what
# shows commands, and what cleans up. KEEP=1 leaves everything running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CACHE=${CACHE:-/var/cache/sprout}
DIR=$(mktemp -d "/var/tmp/sprout-$(basename "$0" .sh).XXXXXX")
chmod 755 "$DIR" # PostgreSQL runs as another user, below it
export SPROUT_CONFIG=$DIR/contexts.yaml SPROUT_LAB=$DIR/lab
export PATH=$PWD/bin:$PATH NO_COLOR=1
PATIENCE=${PATIENCE:-5m}
# The name of the lab, where not the usual one: two of one name cannot run at once.
LAB_NAME=${LAB_NAME:-}
NAMED=(${LAB_NAME:+--name "$LAB_NAME"})
SSH=(ssh -i "$DIR/key" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=10)
dev='' interrupted=''
exec 3>&1 # where commands are shown, also when their output goes to a file

run() { # run COMMAND…: shows it as typed, and runs it
    printf '$%s\n' "$(printf ' %s' "$@")" >&3
    "$@"
}
must_fail() { # must_fail COMMAND…: it has to exit with 1, a failure; not 2, a usage error
    local code=0
    run "$@" || code=$?
    [[ -z $interrupted ]] || exit 130
    ((code == 1)) || { echo "expected exit code 1, got $code" >&2; exit 1; }
}
die() { echo "$(basename "$0" .sh): $*" >&2; exit 1; }

# start_dev starts the control plane, with its PostgreSQL and its NATS, which all
# die with it: on API and BUS, or on free ports.
start_dev() {
    setsid sprout dev --dir "$DIR/dev" --listen "${API:-127.0.0.1:0}" --bus-listen "${BUS:-127.0.0.1:0}" --context-file "$SPROUT_CONFIG" >>"$DIR/dev.log" 2>&1 &
    dev=$!
}
# in_lab COMMAND…: runs it on the site's network.
in_lab() { sprout lab exec "${NAMED[@]}" -- "$@"; }

show_logs() {
    for log in "$DIR"/dev.log "$DIR"/lab/lab.log "$DIR"/lab/agent.log "$DIR"/lab/machines/*/console.log; do
        [[ -f $log ]] || continue
        printf '\n-- the end of %s\n' "${log#"$DIR"/}"
        tail -n "${LOG_LINES:-25}" "$log" | tr -d '\033'
    done >&2
}
cleanup() {
    local code=$?
    trap - EXIT INT TERM
    if [[ -n ${KEEP:-} && $code == 0 ]]; then
        return
    fi
    [[ $code == 0 || -n $interrupted ]] || show_logs
    sprout lab down "${NAMED[@]}" >/dev/null 2>&1 || true
    if [[ -n $dev ]]; then
        kill -CONT "$dev" 2>/dev/null || true # it may be stopped
        kill -TERM "$dev" 2>/dev/null || true
        wait "$dev" 2>/dev/null || true
    fi
    rm -rf "$DIR"
    exit "$code"
}
trap cleanup EXIT
trap 'interrupted=1; exit 130' INT
trap 'interrupted=1; exit 143' TERM
