SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

# Tools are pinned by version in modules of their own, apart from the operator's dependencies.
CONTROLLER_GEN := go tool -modfile=hack/tools/go.mod controller-gen
KUSTOMIZE      := go tool -modfile=$(CURDIR)/hack/tools/go.mod kustomize
GOLANGCI_LINT  := go tool -modfile=$(CURDIR)/hack/lint/go.mod golangci-lint
KUBECTL        ?= kubectl

# The modules with packages of our own, and all modules.
CODE_MODULES := . hack/controlplane hack/image test/helm
MODULES      := $(CODE_MODULES) hack/lint hack/tools

API   := ./api/v1alpha1
CRDS  := config/crd/bases
CHART := charts/maildomain-operator

# The race detector needs a C compiler. Set RACE=-race to require it, RACE= to do without.
RACE     ?= $(shell command -v "$$(go env CC)" >/dev/null && echo -race)
PACKAGES ?= ./...
COUNT    ?=
TIMEOUT  ?= 30m
GOTEST    = go test $(RACE) -shuffle=on -timeout $(TIMEOUT) $(if $(COUNT),-count=$(COUNT))

FUZZTIME ?= 30s
BENCH    ?= .

# A shell prefix that puts a control plane into the environment.
WITH_CONTROLPLANE = KUBEBUILDER_ASSETS="$$(go run -C hack/controlplane .)"; export KUBEBUILDER_ASSETS;

##@ General

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: build ## A control plane, a DNS server and the operator at work on the samples (DEMO_ONCE=1: end when all is verified)
	@$(WITH_CONTROLPLANE) go build -buildvcs=false -o bin/demo ./test/demo; exec bin/demo

##@ Development

.PHONY: manifests
manifests: ## Write the CRDs from the types in api/, and the roles from the markers beside the code
	$(CONTROLLER_GEN) crd paths=$(API) output:crd:dir=$(CRDS)
	$(call roles,config)
	$(call chart,config,$(CHART)/files)

# A chart has all its files in its own directory, so it has copies: of what is generated, of the admission policies, of the roles for metrics and of what Prometheus takes.
chart = rm -rf $(2) && mkdir -p $(2)/crds $(2)/admission && cp $(CRDS)/*.yaml $(2)/crds && \
	cp config/admission/secrets.yaml config/admission/maildomains.yaml $(2)/admission && cp config/rbac/metrics.yaml $(2) && \
	mkdir -p $(2)/prometheus && cp config/prometheus/servicemonitor.yaml config/prometheus/rules.yaml config/prometheus/dashboard.json $(2)/prometheus && \
	cp $(1)/rbac/roles/role.yaml $(2)/roles.yaml && cp $(1)/mta-sts/roles/role.yaml $(2)/roles-mta-sts.yaml

# The manager's roles and those of the writer beside a policy server, below the directory $(1). The roles are named by the
# markers.
roles = $(CONTROLLER_GEN) rbac:roleName=maildomain-domains paths=./controllers output:rbac:dir=$(1)/rbac/roles && \
	$(CONTROLLER_GEN) rbac:roleName=maildomain-mta-sts paths=. output:rbac:dir=$(1)/mta-sts/roles

.PHONY: generate
generate: ## Write the DeepCopy methods of the types in api/
	$(CONTROLLER_GEN) object paths=$(API)

.PHONY: fmt
fmt: ## Format all Go code
	gofmt -w .

.PHONY: vet
vet: ## Run go vet
	$(foreach m,$(CODE_MODULES),go vet -C $(m) ./... &&) true
	go vet -tags scale .
	go vet -tags node ./test/node

.PHONY: lint
lint: ## Run golangci-lint, which also holds the import table
	$(foreach m,$(CODE_MODULES),(cd $(m) && $(GOLANGCI_LINT) run) &&) true

.PHONY: lint-fix
lint-fix: ## Run golangci-lint, and let it repair what it can
	$(foreach m,$(CODE_MODULES),(cd $(m) && $(GOLANGCI_LINT) run --fix) &&) true

.PHONY: test
test: ## Run all tests, with a real API server (PACKAGES=./keys/... for a part)
	@echo 'race detector: $(if $(RACE),on,off, because there is no C compiler)'
	go test -C hack/controlplane $(RACE) -shuffle=on ./...
	go test -C hack/image $(RACE) -shuffle=on ./...
	$(WITH_CONTROLPLANE) go test -C test/helm ./... && $(GOTEST) $(PACKAGES)

# The worlds are played without the race detector: each has one goroutine, and there are many.
SEEDS ?= 10000
YEARS ?= 100
PLAY   = GOGC=400 go test ./test/simulate -count=1 -timeout 6h -v
.PHONY: simulate
simulate: ## Play SEEDS worlds of DKIM rotation (10000) and YEARS of MTA-STS (100), or the world of SEED=n or YEAR=n for its trace
ifdef SEED
	$(PLAY) -run 'TestSeeds$$' -seed $(SEED)
else ifdef YEAR
	$(PLAY) -run 'TestYear$$' -seed $(YEAR)
else
	$(PLAY) -skip 'TestYear$$' -seeds $(SEEDS)
	$(PLAY) -run 'TestYear$$' -seeds $(YEARS)
endif

# The node's network and mounts are its own, and it leaves nothing behind: test/node.
.PHONY: e2e-node
e2e-node: ## Install the operator on a real node, which it brings up: kubelet, containerd, runc (root, Linux; docs/development.md)
	@[[ "$$(id -u)" == 0 ]] || { echo 'a node needs root: run sudo make e2e-node' >&2; exit 1; }
	$(MAKE) image IMG=registry.example/maildomain-operator:dev PLATFORMS=linux/$$(go env GOARCH) VERSION= PUSH=
	$(WITH_CONTROLPLANE) MAILDOMAIN_NODE_ASSETS="$$(go run -C hack/controlplane . -node)"; export MAILDOMAIN_NODE_ASSETS; \
	MAILDOMAIN_IMAGE=$(CURDIR)/dist/image.tar go test -tags node ./test/node -count=1 -timeout 60m -v

.PHONY: upgrade-snapshot
upgrade-snapshot: ## Record what this version leaves in clusters and zones, for the test of later ones (VERSION=0.1.0)
	@[[ -n '$(VERSION)' ]] || { echo 'VERSION is not set: name the release, such as VERSION=0.1.0' >&2; exit 1; }
	@$(WITH_CONTROLPLANE) go test ./test/upgrade -run TestSnapshot -count=1 -snapshot $(VERSION)

.PHONY: verify
verify: verify-generated verify-format vet lint verify-modules ## Check that generated files, format, lint and modules are in order

.PHONY: verify-generated
verify-generated:
	tmp="$$(mktemp -d)"; trap 'rm -rf "$$tmp"' EXIT; \
	$(CONTROLLER_GEN) object crd paths=$(API) output:object:dir="$$tmp" output:crd:dir="$$tmp/crds"; \
	diff -u $(API)/zz_generated.deepcopy.go "$$tmp/zz_generated.deepcopy.go" || { echo 'out of date: run make generate' >&2; exit 1; }; \
	diff -ruN $(CRDS) "$$tmp/crds" || { echo 'out of date: run make manifests' >&2; exit 1; }; \
	$(call roles,"$$tmp"); \
	for file in rbac/roles/role.yaml mta-sts/roles/role.yaml; do \
		diff -u "config/$$file" "$$tmp/$$file" || { echo 'out of date: run make manifests' >&2; exit 1; }; \
	done; \
	$(call chart,"$$tmp","$$tmp/files"); \
	diff -ruN $(CHART)/files "$$tmp/files" || { echo 'out of date: run make manifests' >&2; exit 1; }

.PHONY: verify-format
verify-format:
	unformatted="$$(gofmt -l .)"; [[ -z "$$unformatted" ]] || { printf 'not formatted, run make fmt:\n%s\n' "$$unformatted" >&2; exit 1; }

.PHONY: verify-modules
verify-modules:
	$(foreach m,$(MODULES),go mod tidy -C $(m) -diff &&) true
	go mod tidy -C hack/controlplane -modfile=containerd.mod -diff

.PHONY: bench
bench: ## Run the benchmarks; docs/benchmarks.md has figures (BENCH=BenchmarkParse for a part)
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./mailauth/... ./mtastsserver/... ./metrics ./keys
	go test -run '^$$' -bench '$(BENCH)' ./test/serving

# N domains (1000), in one zone or each in its own (ZONES=each), at a name server or at a fake of an API (PROVIDER=cloudflare, route53),
# with keys from a stock or not (STOCK=false).
N     ?= 1000
ZONES ?= one
PROVIDER ?= rfc2136
STOCK ?= true
.PHONY: bench-scale
bench-scale: ## Measure N domains (1000) from nothing to Ready on a real control plane (ZONES=each, PROVIDER=route53, STOCK=false, ARGS='-json FILE -ranges FILE')
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags scale -o bin/maildomain-scale .
	@$(WITH_CONTROLPLANE) go build -buildvcs=false -o bin/scale ./test/scale; exec bin/scale -n $(N) -zones $(ZONES) -provider $(PROVIDER) -stock=$(STOCK) $(ARGS)

SOAK_FOR ?= 20m
.PHONY: soak
soak: ## Have N domains (1000) come, change and go for SOAK_FOR (20m), with faults and restarts (ARGS='-seed 2')
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags scale -o bin/maildomain-scale .
	@$(WITH_CONTROLPLANE) go build -buildvcs=false -o bin/scale ./test/scale; exec bin/scale -n $(N) -soak $(SOAK_FOR) $(ARGS)

.PHONY: fuzz
fuzz: ## Run every fuzz test in turn, each for FUZZTIME (30s)
	@grep -rnoE --include='*_test.go' --exclude-dir=hack '^func Fuzz[A-Za-z0-9_]+' . | sort | \
	while IFS=: read -r file _ name; do \
		echo "$$file: $${name#func }"; \
		go test -run '^$$' -fuzz "^$${name#func }\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null; \
	done

.PHONY: nightly
nightly: ## What takes too long for every change: a real node, more worlds, long fuzzing, and each test many times
	$(MAKE) e2e-node
	$(MAKE) verify-image
	$(MAKE) soak
	$(MAKE) simulate SEEDS=50000 YEARS=500
	$(MAKE) fuzz FUZZTIME=10m
	$(MAKE) test COUNT=10 TIMEOUT=3h

.PHONY: controlplane
controlplane: ## Find kube-apiserver, etcd and kubectl, or build them, and print their directory
	@go run -C hack/controlplane .

##@ Build and run

.PHONY: build
build: ## Build bin/maildomain
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -o bin/maildomain .

# The image by its whole name, with registry and tag.
IMG       ?= registry.example/maildomain-operator:dev
PLATFORMS ?= linux/amd64,linux/arm64

.PHONY: image
image: ## Build the image without an engine: dist/image (OCI layout), and for this machine dist/image.tar (IMG=, PUSH=1: to IMG)
	go run -C hack/image . -platforms $(PLATFORMS) -tag $(IMG) $(if $(VERSION),-version $(VERSION)) -out $(CURDIR)/dist/image -archive $(CURDIR)/dist/image.tar $(if $(PUSH),-push)

.PHONY: verify-image
verify-image: ## Build the image from two directories, and compare the digests
	tmp="$$(mktemp -d)"; trap 'rm -rf "$$tmp"' EXIT; \
	mkdir "$$tmp/elsewhere"; git ls-files -z | xargs -0 cp --parents -t "$$tmp/elsewhere"; \
	here="$$(go run -C hack/image . -platforms $(PLATFORMS))"; there="$$(go run -C hack/image . -platforms $(PLATFORMS) -source "$$tmp/elsewhere")"; \
	[[ "$$here" == "$$there" ]] || { echo "not reproducible: $$here here, and $$there in another directory" >&2; exit 1; }; echo "$$here"

# What is in the file, as config/ has it: default or namespaced. And the id of the installation, which has no
# default: two installations with one id would each take the other's claims for its own.
CONFIG    ?= default
OWNER_ID  ?=
INSTALLER ?= dist/install.yaml

.PHONY: build-installer
build-installer: ## Write dist/install.yaml, for kubectl apply --server-side (IMG=, OWNER_ID=, CONFIG=default or namespaced)
	@[[ -n '$(OWNER_ID)' ]] || { echo 'OWNER_ID is not set: name this installation, such as OWNER_ID=production-eu, and never change that name' >&2; exit 1; }
	@mkdir -p dist; tmp="$$(mktemp -d dist/installer.XXXXXX)"; trap 'rm -rf "$$tmp"' EXIT; \
	( cd "$$tmp"; \
	$(KUSTOMIZE) create --resources ../../config/$(CONFIG); \
	$(KUSTOMIZE) edit set image maildomain=$(IMG); \
	$(KUSTOMIZE) edit add patch --kind Deployment --name maildomain-manager \
		--patch '[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--owner-id=$(OWNER_ID)"}]' ); \
	$(KUSTOMIZE) build "$$tmp" >"$$tmp/install.yaml"; mv "$$tmp/install.yaml" $(INSTALLER)

.PHONY: run
run: build ## Run the manager against the cluster of the current kubeconfig (ARGS= for its flags)
	exec bin/maildomain manager $(ARGS)

.PHONY: install
install: ## Install the CRDs into the cluster of the current kubeconfig
	$(KUBECTL) apply --server-side -f $(CRDS)

.PHONY: uninstall
uninstall: ## Remove the CRDs, and with them every MailDomain, from that cluster
	$(KUBECTL) delete --ignore-not-found -f $(CRDS)

.PHONY: clean
clean: ## Remove what was built here
	rm -rf bin dist
