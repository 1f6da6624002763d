# `make` or `make help` lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

GO ?= go
# Passed to go test by every target that tests; e.g. make test ARGS='-run TestX -v'.
ARGS ?=
PKG ?= ./...
# Tests that run at a time in a package: those that start programs wait more than they compute.
PARALLEL ?= 4
FUZZTIME ?= 10s
# For the targets whose oracle reads what is forwarded.
ORACLETIME ?= 30s
COUNT ?= 1

# The development tools are built from the versions that tools/go.mod pins, into a cache outside the clone, one folder per pin.
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cosmosgate
TOOLS := $(CACHE)/tools/$(shell cat tools/go.mod tools/go.sum | cksum | cut -d' ' -f1)-$(shell $(GO) env GOVERSION)

NESTED := tools $(patsubst %/go.mod,%,$(wildcard test/*/go.mod))

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: build
build: ## Build the binary: bin/cosmosgate
	$(GO) build -trimpath -o bin/cosmosgate ./cmd/cosmosgate

.PHONY: test
test: ## Run all tests
	$(GO) test -parallel $(PARALLEL) $(ARGS) $(PKG)

.PHONY: race
race: ## Run all tests with the race detector
	$(GO) test -race -parallel $(PARALLEL) $(ARGS) $(PKG)

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME (10s), those with an oracle for ORACLETIME (30s)
	./tools/fuzz.sh $(FUZZTIME) $(ORACLETIME)

.PHONY: lint
lint: $(TOOLS)/golangci-lint $(TOOLS)/staticcheck ## Run all linters
	$(TOOLS)/golangci-lint config verify
	$(TOOLS)/golangci-lint run ./...
	$(TOOLS)/staticcheck ./...

.PHONY: bench
bench: ## Run the benchmarks COUNT (1) times; compare runs with make benchstat
	$(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) $(ARGS) $(PKG)

.PHONY: benchstat
benchstat: $(TOOLS)/benchstat ## Compare benchmark outputs: make benchstat ARGS='old.txt new.txt'
	$(TOOLS)/benchstat $(ARGS)

.PHONY: demo
demo: ## Watch a new hire get access, use it, and lose it
	@$(GO) run ./cmd/cosmosgate demo

# The nested modules share nothing, so that make -j2 --output-sync=target may run two at a time; those that take long come first.
SUITES := test/mutation test/faults test/replicas $(filter-out tools test/conformance test/scim test/mutation test/faults test/replicas,$(NESTED))

.PHONY: conformance conformance/sdk conformance/scim
conformance: conformance/sdk conformance/scim ## Run the official SDKs directly and through the gate, and the public SCIM suites
conformance/sdk:
	$(MAKE) -C test/conformance
conformance/scim:
	./test/scim/run.sh

.PHONY: suites $(SUITES:%=suite/%)
suites: $(SUITES:%=suite/%) ## Run the tests of the nested modules: bypass corpus, faults, deployment files
$(SUITES:%=suite/%): suite/%:
	@echo "== $*"; begun=$$SECONDS; \
	if [ -x $*/run.sh ]; then $*/run.sh; \
	elif [ -f $*/Makefile ]; then $(MAKE) -C $*; \
	else (cd $* && $(GO) test ./...); fi; \
	echo "== $*: $$((SECONDS - begun)) s"

.PHONY: docs
docs: build ## Write docs/cli from what the commands say about themselves
	./tools/clidocs.sh bin/cosmosgate docs/cli

.PHONY: check
check: format vet lint test ## What a change has to pass before review

.PHONY: format
format: ## Fail if a file is not formatted
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not gofmt-ed:"; echo "$$unformatted"; exit 1; fi

.PHONY: vet
vet: ## Vet the module and the nested ones, and verify downloads
	$(GO) vet ./...
	$(GO) mod verify
	@for module in $(filter-out tools,$(NESTED)); do echo "go vet $$module"; (cd $$module && $(GO) vet ./...); done

# What engineers install, on what they use.
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
ENGINEERS := ./cmd/cosmosgate ./credential ./internal/connect ./internal/doctor ./internal/profile ./internal/terminal

.PHONY: cross
cross: ## Build and vet the binary and credential for every platform that engineers use
	@for platform in $(PLATFORMS); do \
	  echo "== $$platform"; \
	  export CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/}; \
	  $(GO) build -o /dev/null ./cmd/cosmosgate; \
	  $(GO) vet $(ENGINEERS); \
	done

.PHONY: cover
cover: ## Print the test coverage of each package and of all
	@profile=$$(mktemp); trap 'rm -f "$$profile"' EXIT; \
	$(GO) test -coverprofile="$$profile" $(PKG); \
	$(GO) tool cover -func="$$profile" | tail -n 1

.PHONY: sizes
sizes: ## Print the longest files and functions
	@$(GO) test -count 1 -v -run TestSizesAreReported ./internal/arch

$(TOOLS)/golangci-lint: PACKAGE := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(TOOLS)/staticcheck: PACKAGE := honnef.co/go/tools/cmd/staticcheck
$(TOOLS)/benchstat: PACKAGE := golang.org/x/perf/cmd/benchstat
$(TOOLS)/%:
	@mkdir -p $(@D)
	cd tools && $(GO) build -o $@ $(PACKAGE)
