#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_cuda.sh [BUILD]: builds the kernels of sara/cuda against a torch with CUDA and runs all their tests on the GPU; then again under
# compute-sanitizer's checks of memory and barriers, where that is installed. Without a GPU it fails: nothing is skipped.
# PYTHON=/path/to/python is a Python whose torch (2.11 to 2.14) has CUDA; .venv otherwise. nvcc must be in PATH or under CUDA_HOME.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build-cuda}
python=${PYTHON:-.venv/bin/python}
fail() { printf 'test_cuda.sh: %s\n' "$1" >&2; exit 1; }

"$python" -c 'import torch, sys; sys.exit(not torch.version.cuda)' 2>/dev/null ||
  fail "the torch of $python has no CUDA. Fix: name another Python in PYTHON, or install the CUDA build of torch there"
"$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' || fail "torch finds no CUDA device on this machine"

tools/setup.sh test
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DSARA_CUDA=ON -DSARA_TESTS=ON -DSARA_PYTHON="$(realpath -s "$python")"
ninja -C "$build" test_cuda test_cuda_emulated
export SARA_REQUIRE_CUDA=1
"$build/tests/test_cuda_emulated"
"$build/tests/test_cuda"
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck synccheck; do
    compute-sanitizer --tool "$tool" --error-exitcode 1 "$build/tests/test_cuda" --gtest_filter='-*Training*'
  done
fi
