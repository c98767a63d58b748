#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# demo.sh SARA: the main job. mini-sd learns the style of examples/styles/delft; then ten prompts that are not in that
# set are drawn by the base model and with the adapter at 0.5, 1 and 1.5. Leaves everything in out/demo.
set -euo pipefail
cd "$(dirname "$0")/.."
sara=$1 out=out/demo
prompts=examples/styles/delft/prompts.txt

"$sara" train --config recipes/demo/train.toml --output "$out" --overwrite
"$sara" generate --prompts "$prompts" --adapter "$out/adapter.safetensors" --scales 0 --scales 0.5 --scales 1 --scales 1.5 \
  --seed 0 --guidance 4 --output "$out/pictures" --overwrite --grid >/dev/null
cp "$out/pictures/grid.png" "$out/before_after.png"
printf '\nLook at %s (base, then scale 0.5, 1, 1.5); %s holds the loss curve and the numbers.\n' "$out/before_after.png" "$out/report.html"
