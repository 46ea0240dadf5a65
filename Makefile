# make run   builds Rollcall and does its main job on this host for a few seconds
# make test  runs every test that this machine can run
GO        ?= go
VERSION   ?= 0.1.0-dev
LDFLAGS   := -s -w -X github.com/osquery-rollcall/rollcall/extension/version.Number=$(VERSION)
BUILD     := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'
PLATFORMS := linux/amd64 linux/arm64 windows/amd64 windows/arm64 darwin/amd64 darwin/arm64
TOOLS     := $(CURDIR)/build/tools
LINT      := $(TOOLS)/golangci-lint
LINT_VERSION := v2.12.2
FUZZTIME  ?= 30s
# What is shipped is built with this Go, and judged with it: older ones have known
# vulnerabilities that Rollcall calls. "local" is the one at hand.
RELEASE_GO ?= go1.26.10

.PHONY: all build run test race lint cross fuzz bench profile corpora simulate live faults soak packs docs pictures packages packages-test clean

all: build

build:
	@mkdir -p build
	$(BUILD) -o build/rollcall.ext ./extension
	$(BUILD) -o build/rollcall ./extension/cmd/rollcall

# Collects for a few seconds and lists services meanwhile, so that there is a row
# to see: in osqueryi where it is installed, else in the embedded shell.
run: build
	@sh tests/live/run.sh

test:
	$(GO) vet ./...
	$(GO) test -timeout 30m $$($(GO) list ./... | grep -v /rollcall/tests/)
	$(GO) test -timeout 30m -p 1 ./tests/...

# tests/ drives programs that are built without the race detector.
race:
	$(GO) test -race -short -timeout 30m $$($(GO) list ./... | grep -v /rollcall/tests/)

lint: $(LINT)
	@test -z "$$(gofmt -l extension tables packs tests packaging)" || { gofmt -l extension tables packs tests packaging; echo 'not gofmt-ed'; exit 1; }
	$(LINT) run ./...

$(LINT):
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

cross:
	@set -e; for p in $(PLATFORMS); do \
	  os=$${p%/*}; arch=$${p#*/}; ext=; [ $$os = windows ] && ext=.exe; dir=build/$$os-$$arch; mkdir -p $$dir; \
	  echo "build $$p"; \
	  GOOS=$$os GOARCH=$$arch $(BUILD) -o $$dir/rollcall.ext$$ext ./extension; \
	  GOOS=$$os GOARCH=$$arch $(BUILD) -o $$dir/rollcall$$ext ./extension/cmd/rollcall; \
	  GOOS=$$os GOARCH=$$arch CGO_ENABLED=0 $(GO) vet ./...; \
	done

# Fuzzes every target for FUZZTIME, one after the other, not spending it on making small
# what is only of interest.
fuzz:
	@set -e; for f in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do \
	  for t in $$(grep -oE '^func Fuzz[A-Za-z0-9_]+' $$f | sed 's/^func //'); do \
	    echo "fuzz $$t in $$(dirname $$f)"; $(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s ./$$(dirname $$f); \
	  done; done

# Every budget beside what it is measured against, in one run; fails where one is missed.
bench:
	cd tests/bench && GOFLAGS=-mod=mod $(GO) test -count=1 -timeout 15m -v .

profile:
	@set -e; mkdir -p build; for p in Collect Score Serve Incident; do \
	  (cd tests/bench && GOFLAGS=-mod=mod $(GO) test -run '^$$' -bench "^Benchmark$$p$$" -benchtime 3s -cpuprofile ../../build/$$p.cpu -memprofile ../../build/$$p.mem -o ../../build/bench.test .); \
	  $(GO) tool pprof -top -cum -nodecount 40 build/bench.test build/$$p.cpu; done

# Measures the engine on recorded third-party data: CORPORA names its folder.
corpora:
	@test -n "$(CORPORA)" || { echo 'make corpora CORPORA=DIR: name the folder with t1007_positives.jsonl and the others'; exit 2; }
	CORPORA='$(CORPORA)' $(GO) test -count=1 -v ./tests/corpora

# Judges a simulated fleet of 1,000 hosts for 60 days (about ten minutes), a cold start,
# and what each factor is worth.
simulate:
	ROLLCALL_SIMULATE=1000x60 ROLLCALL_SIMULATE_FACTORS=1 $(GO) test -count=1 -timeout 60m -v ./tests/simulate

# Plants ways to stay on this host and removes them again: root on Linux only.
live:
	ROLLCALL_LIVE=1 $(GO) test -count=1 -v ./tests/live

# Writes docs/reference from the code; a test fails when it drifts.
docs:
	rm -rf docs/reference
	$(GO) run ./extension/cmd/rollcall docs --out docs

# Draws the README's pictures from real runs on docs/example; the second with Chromium.
# A test fails when what the program writes is no longer what the first shows.
pictures:
	$(GO) test -count=1 ./tests/pictures -update

# deb, rpm, tarballs, zip, MSI (where wixl is), SBOMs and SHA256SUMS, from this machine.
packages:
	GOTOOLCHAIN=$(RELEASE_GO) $(GO) run ./packaging --version $(VERSION) --out build/packages

# Installs them in a copy of this machine's root: root on Linux, some minutes.
packages-test:
	ROLLCALL_PACKAGES=1 $(GO) test -count=1 -v -timeout 60m ./tests/packages

# Named faults, each with what must hold. FAULTS_SLOW=1 adds the slow ones.
faults:
	$(GO) test -count=1 -parallel 8 -timeout 30m -v -run TestFaults ./tests/faults

# 1,000 process events a second for half an hour (SOAK=5m for less).
soak:
	SOAK=$(or $(SOAK),30m) $(GO) test -count=1 -timeout 2h -v ./tests/soak

# What can be tested of Windows without Windows: the packages' tests and the shipped
# programs under wine. "make wine-smoke" is the programs alone.
.PHONY: wine wine-smoke windows-programs
wine:
	@sh tests/wine/run.sh

wine-smoke:
	@sh tests/wine/run.sh smoke

OUT ?= build/windows-amd64
windows-programs:
	GOOS=windows GOARCH=amd64 $(BUILD) -o $(OUT)/rollcall.ext.exe ./extension
	GOOS=windows GOARCH=amd64 $(BUILD) -o $(OUT)/rollcall.exe ./extension/cmd/rollcall

# What it is made of: modules are those of go.sum, licences may be passed on, two builds
# are the same, known vulnerabilities. (An SBOM comes with every package.)
.PHONY: supply
supply:
	$(GO) mod verify
	$(GO) test -count=1 ./tests/supply/...
	sh tests/supply/reproducible.sh
	$(GO) run ./tests/supply/vulns $(RELEASE_GO)

packs:
	@set -e; for f in osquery fleet fleet-legacy osctrl; do rm -rf packs/$$f; $(GO) run ./extension/cmd/rollcall packs --format $$f --out packs/$$f; done

clean:
	rm -rf build

# The long forms against the real osqueryd: kills of everything in turn, and what the
# whole pack costs.
.PHONY: kills cost
kills:
	ROLLCALL_KILLS=1 $(GO) test -count=1 -timeout 30m -v -run TestKilled ./tests/e2e

cost:
	ROLLCALL_COST=1 $(GO) test -count=1 -timeout 30m -v -run TestCost ./tests/e2e
