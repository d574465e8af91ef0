# Sprout: bare-metal provisioning. `make help` lists what can be made.
SHELL   := /bin/bash
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X sprout.Version=$(VERSION)
CACHE   ?= /var/cache/sprout
export CACHE
CLOUDINIT := $(CACHE)/cloud-init

.DEFAULT_GOAL := help
.PHONY: bench-api bench-install bench-sim bench-ipam bench-alloc bench-dhcp bench-dns bench-boot help deps build ramdisk image demo dev test test-go compiled test-away test-engine test-api test-faults test-real test-layouts test-boots test-ipv6 test-network test-hardware test-arm64 arm64 fuzz cloud-init check lint generate clean lint-api sushy-tools test-release test-fasttrack

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

deps: ## Install the Debian packages that are missing
	@./install-packages packages.debian

build: ## Build bin/sprout and the ramdisk's program
	@mkdir -p bin $(CACHE)
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/sprout ./cmd/sprout
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/sprout-ramdisk ./cmd/sprout-ramdisk

ramdisk: deps build ## Build the ramdisk's kernel and initrd, and the hardware tests' tools (cached)
	bin/sprout ramdisk build --init bin/sprout-ramdisk --dir $(CACHE)/ramdisk --tools

# On a host of another architecture QEMU runs the image's programs while it is built.
arm64: deps build ## Build a ramdisk and a Debian 12 image for machines of arm64 (cached)
	./install-packages packages.arm64
	CGO_ENABLED=0 GOARCH=arm64 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/sprout-ramdisk-arm64 ./cmd/sprout-ramdisk
	bin/sprout ramdisk build --arch arm64 --init bin/sprout-ramdisk-arm64 --dir $(CACHE)/ramdisk
	bin/sprout image build debian-12 --arch arm64 --file $(CACHE)/debian-12-arm64.raw.zst

image: deps build ## Build the Debian 12 image (cached)
	bin/sprout image build debian-12 --file $(CACHE)/debian-12.raw.zst

demo: ramdisk image ## From nothing to installed machines: KEEP=1 leaves them running
	@demo/demo.sh

dev: deps build ## Run a control plane for development in the foreground
	bin/sprout dev

# What the tests stand on is made side by side: an image is built on one core.
test: ## Run every test, the real boots included
	@$(MAKE) -j4 ramdisk image cloud-init sushy-tools compiled
	@$(MAKE) test-go
	@$(MAKE) test-real

compiled: # What test-go compiles, into Go's cache
	go build -race ./...

# The packages that take longest begin first: at the end nobody waits for one alone.
test-go: ## Run the Go tests with the race detector: a test that fails is run once more, and named
	go tool -modfile=tools/go.mod gotestsum --format pkgname-and-test-fails --rerun-fails=1 --rerun-fails-max-failures=5 --packages="./server ./sim/trial ./scenario ./agent ./..." -- -race -timeout 15m

test-engine: ## Kill servers, PostgreSQL and NATS while 2,000 workflows run (WORKFLOWS=n, SPROUT_SEED=n)
	SPROUT_WORKFLOWS=$(or $(WORKFLOWS),2000) go test ./server -run TestKilledWhileWorkflowsRun -count=1 -v -timeout 30m

test-faults: $(if $(QEMU),ramdisk image) ## Break every part at every step and see that it heals (FAULTS="agent * kill" for some, QEMU=1 for real firmware too)
	SPROUT_FAULTS='$(or $(FAULTS),all)' go test ./faults -run TestMatrix -count=1 -v -parallel 4 -timeout 60m
	$(if $(QEMU),faults/qemu.sh)

test-api: ## Send 20,000 requests made from the API's document, valid and broken (REQUESTS=n, SPROUT_SEED=n)
	SPROUT_REQUESTS=$(or $(REQUESTS),20000) go test ./server -run TestGeneratedRequests -count=1 -v -timeout 30m

test-away: ## Have a site alone for an hour, and let it come back (AWAY=d)
	SPROUT_AWAY=$(or $(AWAY),1h) go test ./scenario -run 'TestStories/wan_away$$' -count=1 -v -timeout 3h

fuzz: ## Run every fuzz target for FUZZTIME (default 30s), one after the other (FUZZ=regexp for some)
	@go run ./bench/fuzz --time $(or $(FUZZTIME),30s) --only '$(FUZZ)'

test-real: ## Install real machines, BIOS and UEFI, end to end
	@SHORT=1 demo/demo.sh

test-boots: ramdisk image ## Install by every way to boot, Secure Boot, virtual media without DHCP and IPv6 alone included, and what is refused: about three quarters of an hour (BOOTS="nvme http" for some)
	@demo/boots.sh

test-arm64: ramdisk arm64 ## Discover, commission and install machines of arm64, with Secure Boot and without: about a quarter of an hour
	@BOOTS="arm64 arm64-secure" PATIENCE=20m demo/boots.sh

test-ipv6: ramdisk image ## Boot OVMF where there is no IPv4, by PXE and by HTTP, and install both machines end to end: ten minutes
	SPROUT_IPV6=1 go test ./boot -run 'TestPXE6|TestHTTPBoot6' -count=1 -v -timeout 15m
	@IPV6=1 SHORT=1 PATIENCE=10m demo/demo.sh

test-network: ramdisk image ## Install a machine with a bond, a VLAN, a bridge and DHCP, and ask it what it has: a few minutes
	@demo/network.sh

test-fasttrack: ramdisk image ## Install machines that wait in the ramdisk, by kexec, BIOS and UEFI, and start them from their disks: about a quarter of an hour (FIRMWARES=bios)
	@demo/fast_track.sh

test-hardware: ramdisk ## Boot a machine with bad disks, a dead link and too little memory, and see each found by the hardware tests; and a burn-in that goes on after the power was lost: some minutes
	SPROUT_HARDWARE=$(CACHE)/ramdisk go test ./ramdisk -run 'TestBadHardwareInQEMU|TestBurnInInQEMU' -count=1 -v -timeout 30m

test-release: ## Have a real ramdisk erase NVMe, ATA, virtio and USB disks, and log in to it by ssh: some minutes
	SPROUT_RELEASE=1 go test ./ramdisk -run 'TestEraseInQEMU|TestRescueInQEMU' -count=1 -v -timeout 30m

test-layouts: deps build ## Install a root file system on RAID 1 and on LVM, and boot it with either disk removed: about half an hour (LAYOUTS="plain raid1" for some)
	bin/sprout ramdisk build --init bin/sprout-ramdisk --dir $(CACHE)/ramdisk --tools
	bin/sprout image build debian-12 --rootfs --file $(CACHE)/debian-12-rootfs.tar.zst
	SPROUT_LAYOUTS="$(or $(LAYOUTS),all)" SPROUT_RAMDISK=$(CACHE)/ramdisk SPROUT_ROOTFS=$(CACHE)/debian-12-rootfs.tar.zst go test ./ramdisk -run TestLayoutsInQEMU -count=1 -v -timeout 90m

cloud-init: $(CLOUDINIT) ## Unpack Debian's cloud-init into the cache: tests have it read what we write

$(CLOUDINIT): | deps
	@mkdir -p $(CACHE) && cd $(CACHE) && apt-get download -q cloud-init && dpkg-deb -x cloud-init_*.deb cloud-init && rm cloud-init_*.deb

SUSHY := $(CACHE)/sushy-tools

sushy-tools: $(SUSHY) ## Install OpenStack's Redfish emulator into the cache: tests hold our Redfish driver against it

$(SUSHY): power/redfish/testdata/requirements.txt | deps
	@rm -rf $(SUSHY) && python3 -m venv $(SUSHY) && $(SUSHY)/bin/pip install --quiet --disable-pip-version-check -r $< && touch $(SUSHY)

bench-api: build ## Measure the control plane beside what it stands on
	@go run ./bench/api --sprout bin/sprout
	@set -o pipefail; go test ./bench ./server -run '^$$' -bench 'VsNotify|VsRiver' -benchtime 1x | grep -E '^(BENCH|---|FAIL|panic)'

bench-ipam: ## Measure how fast addresses are given out, beside bare inserts into the same PostgreSQL
	@go run ./bench/ipam
	@go test ./store -run "^$$" -bench Fill -benchtime 1x

bench-alloc: ## Measure how fast machines are allocated to 64 clients, beside bare guarded updates in the same PostgreSQL
	@go run ./bench/alloc

bench-sim: build ## Measure 10,000 simulated machines at 20 sites: about half an hour on two idle cores
	@go run ./bench/sim --sprout bin/sprout
	@set -o pipefail; go test ./bench -run '^$$' -bench 'Return' -benchtime 1x | grep -E '^(BENCH|---|FAIL|panic)'

bench-dhcp: deps ## Measure the DHCP server beside Kea, with perfdhcp: needs root, and about ten minutes
	@go build -trimpath -o bin/bench-dhcp ./bench/dhcp
	@bin/bench-dhcp

bench-dns: deps ## Measure the site's name server beside NSD and CoreDNS: about two minutes
	@mkdir -p bin && cd bench/dns/testdata/coredns && CGO_ENABLED=0 go build -trimpath -o ../../../../bin/coredns .
	@go build -trimpath -o bin/bench-dns ./bench/dns && bin/bench-dns --coredns bin/coredns

bench-boot: deps ## Measure TFTP and HTTP of boot files beside tftpd-hpa, atftpd and nginx, and with the centre away: about two minutes
	@./install-packages bench/boot/packages.debian
	@test -x $(ATFTPD) || (mkdir -p $(CACHE) && cd $(CACHE) && apt-get download -q atftpd && dpkg-deb -x atftpd_*.deb atftpd)
	@go build -trimpath -o bin/bench-boot ./bench/boot && bin/bench-boot --atftpd $(ATFTPD)

bench-install: deps ramdisk image ## Measure an install beside the least that a script can do, on the same machine and image: about a quarter of an hour (FIRMWARE=bios, TURNS=5)
	@./install-packages bench/install/packages.debian
	@bench/install/install.sh

check: lint lint-api test test-api generate ## Lint, test, and compare the generated files
	git diff --exit-code

lint: ## Run the linters
	go tool -modfile=tools/go.mod golangci-lint run ./...

ATFTPD  := $(CACHE)/atftpd/usr/sbin/atftpd
REDOCLY := $(CACHE)/redocly-2.77.0

lint-api: ## Lint the API's document (installs redocly into the cache by npm)
	@test -x $(REDOCLY)/node_modules/.bin/redocly || npm install --silent --no-fund --no-audit --prefix $(REDOCLY) @redocly/cli@2.77.0
	@REDOCLY_TELEMETRY=off $(REDOCLY)/node_modules/.bin/redocly lint --config redocly.yaml api/openapi.json

generate: ## Rewrite the files that are generated from code
	go test ./ -run 'TestLifecycleDocIsGenerated|TestProblemsDocIsGenerated' -update
	go test ./api -run 'TestOpenAPIIsWhatIsCheckedIn|TestErrorsDocIsGenerated' -update
	go test ./cli -run TestReferenceIsGenerated -update
	go test ./store -run TestSchemaIsTheDump -update
	go test ./provider -run TestQuirksDocIsGenerated -update

clean: ## Remove what was built, but not the caches
	rm -rf bin
