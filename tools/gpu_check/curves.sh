#!/usr/bin/env bash
# Compares loss curves on the CPU and on the GPU in f32 and bf16. The first ten steps are those of the quickstart. Over
# 200 steps, some of its tokens would choose other experts after a rounding error, and the curves would part by chance.
# So the long runs have two experts, and every token goes to both.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=training.sh
source "$(dirname "${BASH_SOURCE[0]}")/training.sh"

train_run curves_start_cpu 10 cpu f32 schedule.warmup_steps=10
train_run curves_start_f32 10 cuda f32 schedule.warmup_steps=10
both=(model.num_experts=2 model.num_experts_per_tok=2)
train_run curves_cpu 200 cpu f32 "${both[@]}"
train_run curves_f32 200 cuda f32 "${both[@]}"
train_run curves_bf16 200 cuda bf16 "${both[@]}"
python3 "$report" curves "$out"/curves_{start_cpu,start_f32,cpu,f32,bf16} 2>&1 | tee "$out/curves.md"
rm -r "$out"/curves_*/checkpoints
