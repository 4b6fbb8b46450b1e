# What a person does here. `make help` lists the targets from their ## lines.

.DEFAULT_GOAL := help
.PHONY: .quick .watched help demo demo-eic demo-cluster build man install check test lint fmt bench soak fuzz clean

# Where Go's own archive goes, for machines on which nobody has told PATH.
export PATH := $(PATH):/usr/local/go/bin

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# Where make install puts things; DESTDIR stands before it all, for packages.
PREFIX ?= /usr/local
DESTDIR ?=
# Where make build puts things.
BIN ?= bin

# Any of these may be set on the command line: make test PKGS=./internal/audit
# The client is a module of its own, and tested from here.
PKGS ?= ./... sallyport/client/...
# These watch what processes do and how much they take, one package at a time.
WATCHED := $(addprefix sallyport/test/,cluster faults machines)
# This starts the program hundreds of times.
STARTED := $(addprefix sallyport/test/,acceptance)
# Neither runs under the race detector, with which a server takes some times as much, and a
# start most of the time: what runs in them runs under it elsewhere, commands in internal/cli,
# servers in test/contract.
#
# The one suite of this runs on four machines. What is ours does the same for each, so that
# two of them are enough for the race detector.
MACHINES := $(addprefix sallyport/test/,files)
# These send one request after another, by the thousands or of many bytes each, to which the
# race detector has nothing to say and takes five times as long. What they ask is asked under it
# too: each route and each caller on PostgreSQL, bodies, pages and outputs by other tests.
PLAIN := ^TestAccess$$/^SQLite$$|^Test(UncleanBodies|BodyWithoutEnd|Caps|PagesAreBounded|PageSizes|OddIDs|PublicRoutes|BufferedOutputMemory)$$
PLAIN_IN := $(addprefix sallyport/test/,contract)
RACE := CGO_ENABLED=1 go test -race
TESTFLAGS ?=
BENCHFLAGS ?=
FUZZTIME ?= 1m
SOAKTIME ?= 2m

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## build, start a server on this machine, run a command through it, keep serving until Ctrl-C
	@scripts/demo

demo-eic: ## the whole main job through a simulated EC2 Instance Connect Endpoint, in front of a real sshd
	@scripts/demo-eic

demo-cluster: ## three servers on PostgreSQL and NATS under load, while they are killed and halted: nothing is lost or run twice
	@scripts/setup
	@scripts/demo-cluster

build: ## build bin/sallyport, one static binary; looks first for what that takes
	@scripts/build $(BIN)/sallyport $(VERSION)

man: ## write the manual pages to bin/man
	CGO_ENABLED=0 go run ./internal/cli/man $(BIN)/man $(VERSION)

install: ## install program, completions and manual pages under PREFIX (/usr/local); what make build man has made, or both anew
	@MAKE="$(MAKE)" scripts/install "$(DESTDIR)$(PREFIX)" "$(BIN)"

check: ## the quick subset while you work: format, vet, short tests without the race detector
	@scripts/fmt --check
	CGO_ENABLED=0 go vet $(PKGS)
	CGO_ENABLED=0 go test -short -timeout 2m $(TESTFLAGS) $(PKGS)

# CI runs every test anew: a cached pass says nothing about this machine.
test: ## run every test, under the race detector where our code runs (installs a C compiler and what else the tests need from Debian's packages)
	@scripts/setup
	@$(MAKE) --no-print-directory .quick
	@$(MAKE) --no-print-directory .watched

# One lane after the other: beside the first, servers of the second miss the bounds of time by
# which they tell an outage.
.quick:
	$(call gotest,$(RACE) -skip '$(PLAIN)',$(filter-out $(WATCHED) $(STARTED) $(MACHINES),$(PACKAGES)))
	$(call gotest,$(RACE) -run '/^(embedded|without_sftp)$$',$(filter $(MACHINES),$(PACKAGES)))
	$(call gotest,CGO_ENABLED=0 go test -skip '/^(embedded|without_sftp)$$',$(filter $(STARTED) $(MACHINES),$(PACKAGES)))
	$(call gotest,CGO_ENABLED=0 go test -run '$(PLAIN)',$(filter $(PLAIN_IN),$(PACKAGES)))

# Tests of these that may be side by side mostly wait, so that more of them are than processors.
.watched:
	$(call gotest,CGO_ENABLED=0 go test -p 1 -parallel 4,$(filter $(WATCHED),$(PACKAGES)))

# gotest tests packages, if there are any, by a command. make lint has vetted them, with more rules.
gotest = $(if $(2),$(1) -vet=off -timeout 30m $(if $(CI),-count=1) $(TESTFLAGS) $(2))
PACKAGES = $(shell go list $(PKGS))

lint: ## all that CI holds against the code without running it
	@scripts/lint

fmt: ## format every Go file
	@scripts/fmt

bench: ## measure the whole stack against bare SSH sessions, the engines of the store, and one to three replicas
	@scripts/setup
	@$(MAKE) --no-print-directory build
	go run ./bench $(BENCHFLAGS)
	go test -count=1 ./test/machines -run '^Test(Bench|StreamRate|Streams)$$' -v -bench-runs 400 -bench-mib 256 -bench-streams 1000
	go test -count=1 ./test/eic -run '^TestBench$$' -v -bench-runs 400
	go test -count=1 ./test/files -run '^TestBench$$' -v -bench-mib 1024 -bench-runs 400 -bench-rounds 3 -bench-entries 10000 -bench-files 1000
	go test -count=1 ./test/forwards -run '^TestBench$$' -v -bench-mib 256 -bench-rounds 12
	go test -count=1 ./test/terminals -run '^Test(Bench|IdleMemory)$$' -v -bench-runs 1000 -bench-terminals 120
	go test -count=1 ./test/engines -run '^Test(Log|Proof)$$' -v -bench-round 1s -bench-runs 2000
	go test -count=1 ./test/cluster -run '^TestBench$$' -v -bench-round 4s
	go test -count=1 ./test/faults -run '^TestHostileOrganisation$$' -v -hostile 60s

soak: ## execs, cancels and faults at random on real machines for SOAKTIME (2m), then nothing may be out of place
	@scripts/setup
	go test -count=1 ./test/faults -run '^Test(MemoryOfTransfers|KilledWhileWriting|TerminalThroughCuts)$$' -v -transfer-mib 1024 -file-writes 500 -terminal-mib 512 -terminal-cuts 1000
	go test -count=1 ./test/files -run '^Test(SwappedLinks|ReadersDuringWrites)$$' -v -race-time 10s -readers 50 -reader-writes 100
	CGO_ENABLED=1 go test -race -count=1 -timeout 0 ./test/machines -run '^TestSoak$$' -v -soak $(SOAKTIME)

fuzz: ## run each fuzz target for FUZZTIME (1m), one after another
	@FUZZTIME=$(FUZZTIME) scripts/fuzz

clean: ## remove what was built and measured
	rm -rf $(BIN) coverage
	find . -name node_modules -prune -o -type f \( -name '*.test' -o -name '*.prof' -o -name 'coverage.*' \) -exec rm -f {} +
