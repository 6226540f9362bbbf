#!/usr/bin/env bash
# Times the steps of steps.sh in PyTorch: compiled, or eager where torch.compile fails, as without Python's headers.
set -euo pipefail
: "${repo_dir:?}" "${out:?}" "${rehearse?}" "${planted?}"

python3 -c 'import torch' 2>/dev/null || {
  echo "result: python3 has no PyTorch"
  exit 77
}
options=(--micro-batches 8 --warmup 1 --rounds 3)
if [ -n "$rehearse" ] && [ "$planted" != pytorch ]; then options+=(--device cpu --tiny); fi
peers=$repo_dir/tools/bench/peers
for router in default topk; do
  peer=(python3 "$peers/pytorch_moe_gpu.py" "$repo_dir/configs/paper/8c1_$router.json" "${options[@]}")
  "${peer[@]}" || "${peer[@]}" --eager
done | tee "$out/pytorch.json"
python3 "$repo_dir/tools/gpu_check/report.py" pytorch "$out/pytorch.json" "$out/steps.json" | tee "$out/pytorch.md"
