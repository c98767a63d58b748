# SPDX-License-Identifier: Apache-2.0
# make demo   the main job: learn a style, draw before and after      make test    all tests
# make test-full   published models at full size, against diffusers and transformers (minutes, 17 GB)
# make build  the program build/sara                                  make bench   one training step, timed
# make bench-against   the same step beside PEFT, full and dense selective tuning (hours; AGAINST="--help")
# make format clang-format over the sources                           make clean   remove build/
# Each target sets up what it needs on a fresh Debian or Ubuntu machine and does nothing the second time.
# PYTHON=/path/to/python uses that Python's torch (2.11 to 2.14) instead of .venv.

BUILD ?= build
export SARA_BUILD := $(abspath $(BUILD))

.PHONY: demo test test-full build bench bench-against format clean setup setup-test
.DEFAULT_GOAL := build

setup:
	@tools/setup.sh build

setup-test:
	@tools/setup.sh test

build: setup
	@tools/build.sh $(BUILD) sara

demo: build
	@tools/demo.sh $(BUILD)/sara

test: setup-test
	@tools/build.sh $(BUILD) all
	@tools/test.sh $(BUILD)

test-full: setup-test
	@tools/build.sh $(BUILD) all
	@SARA_FULL_SIZE=1 $${PYTHON:-.venv/bin/python} -m pytest -q -s tests/parity/test_full_size.py

bench: build
	@$(BUILD)/sara bench train-step --model random:sd15 --resolution 256 --batch-size 1 --budget 50M --precision fp32 --json

bench-against: setup-test build
	@tools/build.sh $(BUILD) sara_python
	@$${PYTHON:-.venv/bin/python} -m bench.against $(AGAINST)

format:
	@git ls-files '*.cpp' '*.h' '*.cu' '*.cuh' | xargs clang-format -i

clean:
	rm -rf $(BUILD)
