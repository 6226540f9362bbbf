#!/usr/bin/env bash
# Trains the same run three times, the third time without CUDA graphs, and expects the same bits.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=training.sh
source "$(dirname "${BASH_SOURCE[0]}")/training.sh"

train_run repeat_first 60 cuda bf16
train_run repeat_second 60 cuda bf16
train_run repeat_no_graphs 60 cuda bf16 train.cuda_graphs=false

failed=0
for other in repeat_second repeat_no_graphs; do
  for file in model.safetensors optimizer.safetensors; do
    same="the same bits"
    cmp "$out"/{repeat_first,"$other"}/checkpoints/step_00000060/$file || { same=differs failed=1; }
    echo "- $other, $file after 60 steps: $same" >>"$out/repeat.md"
  done
done
exit "$failed"
