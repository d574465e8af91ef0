#!/usr/bin/env bash
# From nothing to installed machines, by the command line only, as an operator
# would. KEEP=1 leaves everything running; SHORT=1 is the part that the test
# suite runs: one BIOS and one UEFI machine, installed and proved by ssh. IPV6=1
# is the same at a site without IPv4: two UEFI machines, by PXE and by HTTP boot.
. "$(dirname "$0")/lab.sh"

SITE=lab1 DOMAIN=lab1.sprout.test
if [[ -z ${IPV6:-} ]]; then
    AGENT=10.20.0.1 CIDR=10.20.0.0/24 DYNAMIC=10.20.0.100-10.20.0.199 RESERVED=10.20.0.240-10.20.0.254
    TYPE=A LAB=() GATEWAY=(--gateway $AGENT) M1=(--firmware bios) M2=(--firmware uefi)
else
    AGENT=fd00:20::1 CIDR=fd00:20::/64 DYNAMIC=fd00:20::1:0-fd00:20::1:ffff RESERVED=fd00:20::f000-fd00:20::ffff
    TYPE=AAAA LAB=(--address6 $AGENT/64 --ipv6-only) GATEWAY=()
    M1=(--firmware uefi --netboot pxe6) M2=(--firmware uefi --netboot http)
fi
started=$SECONDS
timeline=()

step() { # step TITLE: begins a chapter, and closes the one before it
    chapter
    title=$1 chapter_started=$SECONDS
    printf '\n\033[1m== %s\033[0m\n' "$1"
}
chapter() { [[ -z ${title:-} ]] || timeline+=("$(printf '%5d s  %s' $((SECONDS - chapter_started)) "$title")"); }

step "2. A control plane, and a site's network"
start_dev
run sprout status --wait 60s
run sprout site create $SITE --domain $DOMAIN
run sprout lab up "${NAMED[@]}" --site $SITE --cidr 10.20.0.0/24 --address 10.20.0.1 "${LAB[@]}" --ramdisk "$CACHE/ramdisk" --wait

step "3. The agent, and a network"
run sprout agent list
run sprout network create provisioning --site $SITE --cidr $CIDR "${GATEWAY[@]}" \
    --dynamic $DYNAMIC --reserved $RESERVED --discover

step "4. Two machines: one that nobody knows, one that is imported"
run sprout lab plug m1 "${NAMED[@]}" "${M1[@]}" --memory 1G --disk 4G --power-on --accept-as "$DIR/m1-bmc.yaml"
run sprout lab plug m2 "${NAMED[@]}" "${M2[@]}" --memory 1G --disk 4G -o yaml >"$DIR/machines.yaml"
run sprout machine import --site $SITE -f "$DIR/machines.yaml"
run sprout machine wait --site $SITE --state discovered --count 1 --timeout "$PATIENCE"
run sprout machine list
m1=$(sprout machine list --state discovered --jq '.[0].name' | tr -d '"')
run sprout machine accept "$m1" --name m1 --bmc-file "$DIR/m1-bmc.yaml"

step "5. Commission: inventory and hardware tests"
run sprout machine commission m1 m2 --wait
run sprout machine show m1
run sprout machine list -o wide

step "6. Allocate by constraints, and deploy"
ssh-keygen -q -t ed25519 -N '' -f "$DIR/key"
cat >"$DIR/user-data.yaml" <<'CLOUD'
#cloud-config
write_files:
  - path: /etc/motd
    content: "installed by sprout\n"
CLOUD
run sprout image import debian-12 "$CACHE/debian-12.raw.zst"
run sprout machine allocate --arch amd64 --boot-mode $([[ -n ${IPV6:-} ]] && echo uefi || echo bios) --cores 1 --memory 900MB --disk 2GB
run sprout machine allocate --arch amd64 --boot-mode uefi --cores 1 --memory 900MB --disk 2GB
run sprout machine deploy m1 --image debian-12 --ssh-key "$DIR/key.pub" --user-data "$DIR/user-data.yaml" --yes
first=$(sprout machine show m1 --jq .activity.workflow | tr -d '"')
run sprout machine deploy m2 --image debian-12 --ssh-key "$DIR/key.pub" --user-data "$DIR/user-data.yaml" --metadata http --wait --yes
run sprout workflow wait "$first"
run sprout machine list

step "7. Proof"
for m in m1 m2; do
    ip=$(sprout machine show $m --jq '.addresses[0].ip' | tr -d '"')
    out=$(in_lab "${SSH[@]}" "debian@$ip" 'hostname -f; ip -br addr; . /etc/os-release; echo "$PRETTY_NAME"; cat /etc/motd')
    echo "$out"
    grep -qx "$m.$DOMAIN" <<<"$out" || die "$m does not call itself $m.$DOMAIN"
    grep -q " $ip/${CIDR#*/}" <<<"$out" || die "$m does not have its address $ip"
    grep -q 'Debian GNU/Linux 12' <<<"$out" || die "$m does not run Debian 12"
    grep -q 'installed by sprout' <<<"$out" || die "$m did not apply its user-data"
    [[ $(in_lab dig +short @$AGENT $m.$DOMAIN $TYPE) == "$ip" ]] || die "no forward name for $m"
    [[ $(in_lab dig +short @$AGENT -x "$ip") == "$m.$DOMAIN." ]] || die "no reverse name for $m"
    echo "$m.$DOMAIN ↔ $ip: ssh and dig agree"
done

if [[ -z ${SHORT:-} ]]; then
    step "8. Release, with an erase that is proved"
    run sprout machine release m1 m2 --erase --wait --yes
    run sprout machine list
    [[ -z $(in_lab dig +short @$AGENT m1.$DOMAIN $TYPE) ]] || die "the name of m1 is still published"

    step "9. Two failures, shown, and what a retry does"
    run sprout machine allocate m1
    run sprout machine allocate m2
    run sprout lab corrupt-image "${NAMED[@]}" debian-12
    sprout machine deploy m1 --image debian-12 --ssh-key "$DIR/key.pub" --yes >"$DIR/m1.out"
    sprout machine deploy m2 --image debian-12 --ssh-key "$DIR/key.pub" --yes >"$DIR/m2.out"
    w1=$(sprout machine show m1 --jq '.activity.workflow' | tr -d '"')
    w2=$(sprout machine show m2 --jq '.activity.workflow' | tr -d '"')
    run sprout lab unplug m2 "${NAMED[@]}" --during write-image &
    unplug=$!
    must_fail sprout workflow wait "$w1"
    wait $unplug || die "m2 was not unplugged"
    must_fail sprout workflow wait "$w2"
    run sprout problem list
    run sprout workflow retry "$w1" "$w2" --wait
    run sprout machine list
fi

step "10. What happened, and who asked"
run sprout audit list --limit 40
run sprout audit verify
chapter
printf '\n%s\n' "Timeline"
printf '%s\n' "${timeline[@]}"
printf '%5d s  in all\n' $((SECONDS - started))
# Of this demo only: another control plane may run beside it.
pgrep -d, -f "sprout (dev|agent) .*$DIR" | xargs -r ps -o rss= -p |
    awk '{ sum += $1 } END { printf "%5d MB  resident: sprout dev and the agent\n", sum / 1024 }'

if [[ -n ${KEEP:-} ]]; then
    cat <<TRY

Everything is still running. Try:
  export PATH=$PWD/bin:\$PATH SPROUT_CONFIG=$SPROUT_CONFIG SPROUT_LAB=$SPROUT_LAB
  sprout machine show m1
  sprout lab console ${NAMED[*]} m1
  sprout lab ssh ${NAMED[*]} m1 -i $DIR/key
To stop it all:
  sprout lab down ${NAMED[*]}; kill $dev; rm -rf $DIR
TRY
fi
echo "DEMO OK"
