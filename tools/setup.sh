#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what a build (setup.sh build) or the tests (setup.sh test) need: system packages through apt, and a Python
# environment .venv with torch 2.13.0 unless PYTHON names an interpreter that has torch 2.11 to 2.14.
# A no-op when everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-build}

build_packages=(g++ cmake ninja-build ccache pkg-config git ca-certificates python3 python3-venv python3-dev nlohmann-json3-dev libxxhash-dev
  libtomlplusplus-dev libjpeg62-turbo-dev libpng-dev libwebp-dev libutf8proc-dev libpcre2-dev)
test_packages=(libgtest-dev librapidcheck-dev strace)
test_wheels=(diffusers transformers peft accelerate safetensors pillow pytest)

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

missing_packages() {
  local name
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' && continue
    # Tools that came another way (pip's cmake, say) are as good as the package.
    case $name in
      g++) command -v g++ ;;
      cmake) command -v cmake ;;
      ninja-build) command -v ninja ;;
      python3 | python3-venv) python3 -c 'import venv, ensurepip' ;;
      python3-dev) python3 -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ;;
      libjpeg62-turbo-dev) dpkg-query -W libjpeg-turbo8-dev libjpeg-dev ;;
      *) false ;;
    esac >/dev/null 2>&1 || printf '%s\n' "$name"
  done
}

install_packages() {
  local wanted
  mapfile -t wanted < <(missing_packages "$@")
  [ ${#wanted[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || fail "apt-get is not here. Fix: install these by hand: ${wanted[*]}"
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "not root and no sudo. Fix: as root, apt-get install ${wanted[*]}"
    as_root=(sudo)
  fi
  say "installing ${wanted[*]}"
  "${as_root[@]}" apt-get update -qq
  # Ubuntu calls the JPEG headers by another name.
  if ! apt-cache show libjpeg62-turbo-dev >/dev/null 2>&1; then wanted=("${wanted[@]/libjpeg62-turbo-dev/libjpeg-turbo8-dev}"); fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
}

has_usable_torch() {
  "$1" -c 'import sys, torch; v = tuple(map(int, torch.__version__.split("+")[0].split(".")[:2])); sys.exit(not (2, 11) <= v <= (2, 14))' 2>/dev/null
}

has_modules() {
  "$1" -c 'import importlib.util as u, sys; sys.exit(any(u.find_spec(n) is None for n in sys.argv[1:]))' "${@:2}" 2>/dev/null
}

install_packages "${build_packages[@]}"
[ "$what" = test ] && install_packages "${test_packages[@]}"

if [ -n "${PYTHON:-}" ]; then
  has_usable_torch "$PYTHON" || fail "PYTHON=$PYTHON has no torch 2.11 to 2.14. Fix: unset PYTHON to let setup make .venv"
  python=$PYTHON
else
  python=.venv/bin/python
  if ! has_usable_torch "$python"; then
    say "making .venv with torch 2.13.0"
    [ -x "$python" ] || python3 -m venv .venv
    # Which build this is (CPU, or CUDA and larger) is decided by the sources pip is set up with; both work.
    "$python" -m pip install -q 'torch==2.13.0' numpy
  fi
fi
if [ "$what" = test ] && ! has_modules "$python" diffusers transformers peft accelerate safetensors PIL pytest open_clip; then
  say "installing the judges of the parity tests: ${test_wheels[*]}"
  "$python" -m pip install -q "${test_wheels[@]}"
  # Only for the vocabulary file of CLIP that it carries; its own needs would pull in torchvision.
  "$python" -m pip install -q --no-deps open_clip_torch
fi
