#!/usr/bin/env bash
# Runs 200 steps on the CPU and on the GPU in f32 and bf16, and compares the loss curves.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=training.sh
source "$(dirname "${BASH_SOURCE[0]}")/training.sh"

train_run curves_cpu 200 cpu f32
train_run curves_f32 200 cuda f32
train_run curves_bf16 200 cuda bf16
python3 "$report" curves "$out"/curves_{cpu,f32,bf16} >"$out/curves.md"
