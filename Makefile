# A thin face of the `musllinux` command (`.venv/bin/musllinux --help`). What a target needs and this machine lacks is
# set up first by scripts/setup; NO_SETUP=1 forbids that.
.DEFAULT_GOAL := first
.PHONY: first help images list render lock smoke push report lint test test-all bench standin emulators doctor clean setup lock-deps

export ARCH POLICY MATRIX MUSLLINUX_TESTS_IMAGES

# ARCH="aarch64 s390x" POLICY=musllinux_1_2 INTERPRETERS="cp39-cp39 cp314-cp314" MATRIX="mine.yaml" SOURCES=standin JOBS=2
selection = $(addprefix --policy=,$(POLICY)) $(addprefix --arch=,$(ARCH))
sources = $(addprefix --matrix=,$(MATRIX)) $(addprefix --sources=,$(SOURCES))
options = $(selection) $(addprefix --interpreters=,$(INTERPRETERS)) $(sources) $(addprefix --jobs=,$(JOBS))
musllinux = .venv/bin/musllinux
comma = ,
space = $(subst ,, )

first: help
	@scripts/setup --check python engine emulators >.mk/missing 2>/dev/null || { \
	  printf '\nFirst time here? `make images` sets up what this machine lacks (NO_SETUP=1 forbids it):\n'; cat .mk/missing; }
first: | .mk

.mk:
	@mkdir -p $@

help: ## This list
	@printf 'musllinux images: build, try and publish them. Usage: make TARGET [NAME=VALUE...]\n\n'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 13
	@printf '\nARCH, POLICY, INTERPRETERS, MATRIX: lists, all by default. SOURCES: auto, upstream, standin. JOBS: builds at once.\n'
	@printf 'Example: make images ARCH=x86_64 POLICY=musllinux_1_2\n'

images: ## Build the images and try them: make images ARCH=x86_64 POLICY=musllinux_1_2
	@scripts/setup python engine emulators
	@$(musllinux) build --smoke $(if $(CI),,--lock-missing) $(options)

smoke: ## Try images that are built
	@scripts/setup python engine emulators
	@$(musllinux) smoke $(options)

push: ## Push tried images: make push REGISTRY=quay.io/me TAG=2026.11.22-1
	@scripts/setup python engine
	@$(musllinux) push $(selection) $(sources) $(addprefix --registry=,$(REGISTRY)) $(addprefix --tag=,$(TAG))

list: ## What the matrix means: images, bases, interpreters
	@scripts/setup python
	@$(musllinux) list $(selection) $(sources)

render: ## Write images/*/Dockerfile from matrix.yaml and templates/
	@scripts/setup python
	@$(musllinux) render $(addprefix --matrix=,$(MATRIX))

lock: ## Resolve every input's version and checksum (network): make lock [CHECK=1] says what is newer
	@scripts/setup python
	@$(musllinux) lock $(if $(CHECK),--check) $(addprefix --matrix=,$(MATRIX))

report: ## What was built and tried, from the records in build/
	@scripts/setup python
	@$(musllinux) report $(selection)

doctor: ## What this machine has, and what to do about the rest
	@scripts/setup python
	@$(musllinux) doctor $(addprefix --matrix=,$(MATRIX))

standin: ## Start the stand-in for upstream's sources: make standin [DO=up|down|status]
	@scripts/setup python
	@$(musllinux) standin $(or $(DO),up) $(selection) $(addprefix --interpreters=,$(INTERPRETERS))

emulators: ## Register qemu-user for ARCH (default all); AGAIN=1 also what is registered and does not work
	@scripts/setup $(if $(AGAIN),--again) emulators
	@$(MAKE) --no-print-directory doctor | sed -n '/emulator/,/->/p' || true

test: ## Unit tests, then the integration tests this machine can run (minutes); SLOW=1 whole images, too
	@scripts/setup python
	@scripts/setup --optional engine compose
	@.venv/bin/python -m pytest -q -m '$(if $(SLOW),,not slow)' $(PYTEST) tests/unit tests/integration

test-all: ## Everything: whole images of every architecture are built and tried, too (hours; a rerun goes on)
	@$(MAKE) --no-print-directory test SLOW=1 MUSLLINUX_TESTS_IMAGES=all

bench: ## Measure what docs/figures.md tells: make bench ARCH="x86_64 aarch64"
	@scripts/setup python engine emulators
	@.venv/bin/python tests/bench/bench_images.py $(addprefix --arch=,$(subst $(space),$(comma),$(strip $(ARCH)))) \
	  $(addprefix --interpreters=,$(subst $(space),$(comma),$(strip $(INTERPRETERS)))) $(addprefix --sources=,$(SOURCES))

lint: ## ruff, mypy, shellcheck, and whether images/ is what the templates give
	@scripts/setup python
	@scripts/lint

clean: ## Remove what runs have left in build/; caches stay (make clean CACHE=1 removes them too)
	@scripts/setup python
	@$(musllinux) clean $(if $(CACHE),--cache)

setup: ## Only set up what this machine lacks
	@scripts/setup python engine emulators compose

lock-deps: ## Renew requirements*.lock from pyproject.toml (network); UPGRADE=1 takes the newest versions
	@test -x .venv/bin/pip-compile || scripts/setup python
	@scripts/lock-deps $(if $(UPGRADE),--upgrade)
