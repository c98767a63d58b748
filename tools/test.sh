#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test.sh BUILD: unit tests (ctest), then parity, command line and structure (pytest). Both run; either failing fails.
set -uo pipefail
cd "$(dirname "$0")/.."
build=$1
python=${PYTHON:-.venv/bin/python}
# Passive: where threads outnumber free cores, those that wait must not spin.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE} SARA_BUILD=${SARA_BUILD:-$PWD/$build} OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} HF_HUB_OFFLINE=1 RC_PARAMS=${RC_PARAMS:-seed=1}
ctest --test-dir "$build" --output-on-failure -j 2 --progress
units=$?
"$python" -m pytest -q tests
rest=$?
[ $units -eq 0 ] || printf 'unit tests failed (ctest exit %d)\n' "$units" >&2
[ $units -eq 0 ] && [ $rest -eq 0 ]
