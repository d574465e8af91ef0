#!/usr/bin/env bash
# How long an install takes, beside the least that anybody could do: from the request
# to the first line that the user space of the installed host says on its console.
#   BENCH install-vs-floor sprout=<seconds> floor=<seconds> ratio=<r>
#   BENCH fasttrack-vs-floor sprout=<seconds> floor=<seconds> ratio=<r>
# The second is of a machine that waits in the ramdisk and is started by kexec, beside
# the same floor, which has no such thing.
# Both on the same QEMU machine of the lab, with the same image, turn by turn; the
# median of TURNS counts. The floor is a script: dnsmasq, nginx, and an initrd of
# busybox that pipes wget through zstd into dd, and reboots. It checks nothing.
# FIRMWARE is uefi or bios.
. "$(dirname "$0")/../../demo/lab.sh"
shopt -s inherit_errexit # a turn that fails ends it
FIRMWARE=${FIRMWARE:-uefi} TURNS=${TURNS:-3} PATIENCE=${PATIENCE:-10m} MOST=1.15 MOST_FAST=0.7
IMAGE=$CACHE/debian-12.raw.zst FLOOR=$DIR/floor
FIRST='Loading, please wait' # the first words of Debian's initramfs

floor_lab() { sprout lab --dir "$DIR/floor-lab" --name floor "$@"; }
# The labs end in the order in which they were begun, whatever the script ends with.
trap 'code=$?; set +e; floor_lab down >/dev/null 2>&1; (exit $code); cleanup' EXIT

# first CONSOLE BEGIN SECONDS: the seconds from BEGIN to the first words after the
# console's first SECONDS bytes.
first() {
    local console=$1 begin=$2 from=$3
    timeout "$PATIENCE" grep -m1 -q "$FIRST" < <(tail -c "+$((from + 1))" -F "$console" 2>/dev/null) || die "$console: the installed system has said nothing after $PATIENCE"
    awk "BEGIN { print $(date +%s.%N) - $begin }"
}
size() { stat -c %s "$1" 2>/dev/null || echo 0; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# build_floor makes what the floor serves: the loader, the kernel that Sprout's ramdisk
# has too, an initrd, and the image.
build_floor() {
    local root=$FLOOR/root modules tree version file
    tree=$(echo "$CACHE"/ramdisk/linux-*) version=${tree##*/linux-}
    mkdir -p "$root"/{bin,dev,proc,sys,lib64,modules} "$FLOOR/www"
    cp /bin/busybox "$root/bin/"
    for file in sh mount insmod ip udhcpc wget dd sync reboot sleep; do ln -s busybox "$root/bin/$file"; done
    cp "$(command -v zstd)" "$root/bin/"
    ldd "$root/bin/zstd" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' | while read -r file; do install -D "$file" "$root$file"; done
    modules=$(modprobe -d "$tree" -S "$version" -a --show-depends virtio_net virtio_blk virtio_pci 2>/dev/null | awk '$1 == "insmod" && !seen[$2]++ { print $2 }')
    for file in $modules; do cp "$file" "$root/modules/" && echo "insmod /modules/${file##*/}"; done >"$root/load"
    cat >"$root/lease" <<'LEASE'
#!/bin/sh
[ "$1" = bound ] && ip address add "$ip/${mask:-24}" dev "$interface"
exit 0
LEASE
    cat >"$root/init" <<'INIT'
#!/bin/sh
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
. /load
ip link set eth0 up
until udhcpc -i eth0 -s /lease -n -q -t 20 -T 1; do :; done
until [ -b /dev/vda ]; do sleep 0.1; done
wget -q -O - http://10.22.0.1:8080/image | zstd -d -c | dd of=/dev/vda bs=4M
sync
reboot -f
INIT
    chmod +x "$root/init" "$root/lease"
    (cd "$root" && find . | cpio --quiet -o -H newc | zstd -q -19 >"$FLOOR/www/initrd")
    cp "$CACHE/ramdisk/vmlinuz" "$FLOOR/www/"
    ln "$IMAGE" "$FLOOR/www/image" 2>/dev/null || cp "$IMAGE" "$FLOOR/www/image"
    cp /usr/lib/ipxe/{snponly.efi,undionly.kpxe} "$FLOOR/www/"
    cat >"$FLOOR/www/boot.ipxe" <<'IPXE'
#!ipxe
kernel http://10.22.0.1:8080/vmlinuz initrd=initrd console=ttyS0 quiet
initrd --name initrd http://10.22.0.1:8080/initrd
boot
IPXE
    cat >"$FLOOR/nginx.conf" <<NGINX
daemon off; user root; worker_processes auto; pid $FLOOR/nginx.pid; error_log stderr error;
events { worker_connections 64; }
http {
  access_log off; sendfile on; tcp_nopush on;
  client_body_temp_path $FLOOR/t1; proxy_temp_path $FLOOR/t2; fastcgi_temp_path $FLOOR/t3; uwsgi_temp_path $FLOOR/t4; scgi_temp_path $FLOOR/t5;
  server { listen 10.22.0.1:8080; location / { root $FLOOR/www; } }
}
NGINX
}
# start_floor starts the floor's two servers, which end with its lab.
start_floor() {
    local loader=snponly.efi
    [[ $FIRMWARE == bios ]] && loader=undionly.kpxe
    floor_lab up --cidr 10.22.0.0/24 --address 10.22.0.1
    floor_lab plug floor --firmware "$FIRMWARE" --memory 1G --disk 4G -o yaml >"$FLOOR/machine.yaml"
    floor_lab exec -- dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= --port=0 --bind-interfaces --listen-address=10.22.0.1 \
        --dhcp-range=10.22.0.50,10.22.0.99,1h --dhcp-leasefile="$FLOOR/leases" --enable-tftp --tftp-root="$FLOOR/www" \
        --dhcp-match=set:ipxe,175 --dhcp-boot="tag:!ipxe,$loader" --dhcp-boot=tag:ipxe,http://10.22.0.1:8080/boot.ipxe >"$FLOOR/dnsmasq.log" 2>&1 &
    floor_lab exec -- nginx -p "$FLOOR" -c "$FLOOR/nginx.conf" >"$FLOOR/nginx.log" 2>&1 &
    floor_lab exec -- curl -sS -o /dev/null --retry 20 --retry-connrefused --retry-delay 1 http://10.22.0.1:8080/boot.ipxe
}
redfish() { # redfish METHOD PATH BODY
    local url password
    url=$(awk '$1 == "url:" { print $2 }' "$FLOOR/machine.yaml") password=$(awk '$1 == "password:" { print $2 }' "$FLOOR/machine.yaml")
    floor_lab exec -- curl -sS -f -o /dev/null -u "admin:$password" -X "$1" -H 'Content-Type: application/json' -d "$3" "$url$2"
}

# Each prints its seconds.
floor() {
    local system=/redfish/v1/Systems/1 console=$DIR/floor-lab/machines/floor/console.log begin from
    from=$(size "$console") begin=$(date +%s.%N)
    redfish PATCH $system '{"Boot":{"BootSourceOverrideEnabled":"Once","BootSourceOverrideTarget":"Pxe"}}'
    redfish POST $system/Actions/ComputerSystem.Reset '{"ResetType":"On"}'
    first "$console" "$begin" "$from"
    redfish POST $system/Actions/ComputerSystem.Reset '{"ResetType":"ForceOff"}'
}
fast_track() {
    sprout machine commission m1 --skip-tests "this measures installs" --fast-track 1h --wait >&2
    sprout_installs
    sprout workflow show "$(sprout workflow list --machine m1 --kind deploy --jq '.[0].id' | tr -d '"')" | grep 'started by kexec' >&2 || die "it was not started by kexec"
}
sprout_installs() {
    local console=$DIR/lab/machines/m1/console.log begin from workflow
    sprout machine allocate m1 >&2
    from=$(size "$console") begin=$(date +%s.%N)
    workflow=$(sprout machine deploy m1 --image debian-12 --yes --jq .id | tr -d '"')
    first "$console" "$begin" "$from"
    sprout workflow wait "$workflow" >&2
    sprout machine release m1 --yes --wait >&2
}

mkdir -p "$FLOOR"
build_floor
start_dev
run sprout status --wait 60s
run sprout site create bench1 --domain bench1.sprout.test
run sprout lab up --name install --site bench1 --cidr 10.20.0.0/24 --address 10.20.0.1 --ramdisk "$CACHE/ramdisk" --wait
LAB_NAME=install NAMED=(--name install)
run sprout network create provisioning --site bench1 --cidr 10.20.0.0/24 --gateway 10.20.0.1 --dynamic 10.20.0.100-10.20.0.199 --reserved 10.20.0.240-10.20.0.254
run sprout lab plug m1 --name install --firmware "$FIRMWARE" --memory 1G --disk 4G -o yaml >"$DIR/machines.yaml"
run sprout machine import --site bench1 -f "$DIR/machines.yaml"
run sprout machine commission m1 --skip-tests "this measures installs" --wait
run sprout image import debian-12 "$IMAGE"
start_floor
for ((turn = 1; turn <= TURNS; turn++)); do
    a=$(sprout_installs) b=$(floor)
    echo "turn $turn: sprout $a s, floor $b s"
    echo "$a" >>"$DIR/sprout" && echo "$b" >>"$DIR/floor-seconds"
done
a=$(median <"$DIR/sprout") b=$(median <"$DIR/floor-seconds")
awk "BEGIN { r = $a / $b; printf \"BENCH install-vs-floor sprout=%.4g floor=%.4g ratio=%.3f\n\", $a, $b, r; exit !(r <= $MOST) }" || die "install-vs-floor: the ratio is over $MOST"
