#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build.sh FOLDER TARGET: configures once, then builds the target with Ninja. Target "all" is everything, the tests included; for
# any other the tests are left out of a new folder, since what they need is installed by setup.sh test alone.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 target=$2
python=${PYTHON:-.venv/bin/python}
tests=OFF
[ "$target" = all ] && tests=ON
if [ ! -f "$folder/build.ninja" ] || { [ $tests = ON ] && ! grep -q '^SARA_TESTS:BOOL=ON' "$folder/CMakeCache.txt"; }; then
  cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DSARA_TESTS=$tests -DSARA_PYTHON="$(command -v "$python" || realpath "$python")" >"$folder.log" 2>&1 ||
    { mkdir -p "$folder"; cat "$folder.log" >&2; exit 1; }
  mv "$folder.log" "$folder/configure.log"
fi
exec ninja -C "$folder" "$target"
