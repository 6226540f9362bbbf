#!/usr/bin/env bash
# Times the steps of steps.sh in PyTorch.
set -euo pipefail
: "${repo_dir:?}" "${out:?}"

for router in topk default; do
  python3 "$repo_dir/tools/bench/peers/pytorch_moe_gpu.py" "$repo_dir/configs/paper/8c1_$router.json" \
    --micro-batches 8 --warmup 1 --rounds 3
done | tee "$out/pytorch.json"
python3 "$repo_dir/tools/gpu_check/report.py" pytorch "$out/pytorch.json" "$out/steps.json" >"$out/pytorch.md"
