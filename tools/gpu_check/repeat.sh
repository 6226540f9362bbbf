#!/usr/bin/env bash
# Trains the same run three times, the third time without CUDA graphs, and expects the same bits.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=training.sh
source "$(dirname "${BASH_SOURCE[0]}")/training.sh"

train_run repeat_first 60 cuda bf16
train_run repeat_second 60 cuda bf16
train_run repeat_no_graphs 60 cuda bf16 train.cuda_graphs=false

different=''
for other in repeat_second repeat_no_graphs; do
  for file in model.safetensors optimizer.safetensors; do
    cmp "$out"/{repeat_first,"$other"}/checkpoints/step_00000060/$file || different+=" $other/$file"
  done
done
[ -z "$different" ] || {
  echo "after 60 steps, these differ from the first run's:$different"
  exit 1
}
rm -r "$out"/repeat_*
echo "result: the same weights and moments after 60 steps, also without CUDA graphs"
