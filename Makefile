# The commands of Osprey's tree; CMake does the building. `make help` lists them.
# Everything that is missing is set up first, once; see tools/setup/.
#
#   BUILD=DIR        where to build (build)          JOBS=N   how many at a time
#   PREFIX=DIR       where to install (/usr/local)   DESTDIR=DIR, as packagers use it
#   FAISS_SOURCE=DIR a source tree of FAISS 1.12     OSPREY_SYSTEM_FAISS=1  the system's
#   OSPREY_MARCH=x   the processor to build FAISS for (native)
#   OSPREY_WHEELS=DIR  the default model's two wheels, at hand
#   OSPREY_NO_APT=1  install no packages; they are there under other names
SHELL  := /bin/bash
BUILD  ?= build
PREFIX ?= /usr/local
export BUILD JOBS FAISS_SOURCE FAISS_PREFIX OSPREY_SYSTEM_FAISS OSPREY_MARCH OSPREY_WHEELS OSPREY_NO_APT

S := tools/setup
.PHONY: build setup demo test test-all fuzz bench bench-peers install deb format check-format clean help
.DEFAULT_GOAL := build
.NOTPARALLEL:

build: setup ## build the programs: build/osprey, build/osprey-indexer, build/osprey-searchd
	@$(S)/build.sh

setup: ## install what is missing, build FAISS, assemble the default model
	@$(S)/packages.sh build
	@$(S)/faiss.sh
	@$(S)/model.sh

demo: build ## index some real pictures and search them
	@$(S)/packages.sh demo
	@$(S)/demo.sh

test: build ## every quick test; the last line counts them
	@$(S)/packages.sh test
	@$(S)/test.sh

test-all: build ## the quick tests, again under sanitizers and for aarch64; fuzzing
	@$(S)/packages.sh test
	@$(S)/test_all.sh

fuzz: ## look for inputs that break something, TIME seconds (60) for each kind
	@tests/fuzz/run.sh --time $(or $(TIME),60)

bench: build ## measure; prints ratios
	@$(S)/bench.sh

bench-peers: build ## measure beside PyTorch, ONNX Runtime and others, in a virtual environment
	@$(S)/peers.sh

install: ## install what was built under PREFIX
	@test -x $(BUILD)/osprey || { echo 'nothing is built yet: run `make build` first' >&2; exit 1; }
	@cmake --install $(BUILD) --prefix $(PREFIX)

deb: build ## make a Debian package, for this machine's kind of processor
	@$(S)/packages.sh deb
	@$(S)/deb.sh

format: ## format the C sources
	@$(S)/packages.sh format
	@git ls-files '*.c' '*.h' | xargs clang-format -i

check-format: ## say which C sources are not formatted
	@$(S)/packages.sh format
	@git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror

clean: ## remove what was built; keeps .deps/ (FAISS, packages) and the model
	rm -rf $(BUILD) build-asan build-tsan build-fuzz build-arm64

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22
