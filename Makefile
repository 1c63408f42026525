# The two commands of the README are `make demo` and `make test`; everything else is for those who work on CACS.
.DEFAULT_GOAL := build
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local

.PHONY: build deps engine demo test soak bench lint format clean install

deps: ; @scripts/install-deps.sh
engine: deps ; @scripts/install-engine.sh build/engine/criu
build: deps ; @scripts/build.sh release

test: engine ; @scripts/test.sh
lint: deps ; @scripts/lint.sh
format: ; @git ls-files '*.h' '*.cpp' '*.cc' '*.c' | xargs clang-format -i
demo: build engine ; @scripts/demo.sh
soak: build engine ; @scripts/soak.sh
bench: build engine ; @scripts/bench.sh

install: build engine
	@DESTDIR='$(DESTDIR)' cmake --install build/release --strip --prefix '$(PREFIX)'

clean: ; @rm -rf build
