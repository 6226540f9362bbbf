#!/usr/bin/env bash
# Times training steps of the paper's 8c1 pair, which take turns, and measures their memory.
set -euo pipefail
: "${gpu:?}" "${repo_dir:?}" "${build_dir:?}" "${out:?}"

used_mib() { nvidia-smi -i "$gpu" --query-gpu=memory.used --format=csv,noheader,nounits; }
total_mib=$(nvidia-smi -i "$gpu" --query-gpu=memory.total --format=csv,noheader,nounits)

# A step here has 8 micro-batches instead of 64, so the update takes up to eight times as large a share of its time.
bench() {
  "$build_dir/gptmoe" bench step "$@" --device cuda --precision bf16 --steps 1 --warmup 1 --rounds 5 \
    --set train.global_batch_size=128 --json "$out/step.json"
  cat "$out/step.json" >>"$out/steps.json"
}
status=0 configs=("$repo_dir"/configs/paper/8c1_{topk,default}.json)

rm -f "$out/steps.json"
before=$(used_mib)
while sleep 0.3; do used_mib; done >"$out/memory.txt" &
sampler=$!
trap 'kill "$sampler"' EXIT
if [ "$total_mib" -ge 129024 ]; then
  bench "${configs[@]}" | tee "$out/account.md"
else
  echo "$total_mib MiB are too little for both at once: running one after the other"
  for config in "${configs[@]}"; do bench "$config"; done | tee "$out/account.md"
fi
python3 "$repo_dir/tools/gpu_check/report.py" steps "$out/steps.json" "$before" "$out/memory.txt" >"$out/steps.md" || status=$?
cat "$out/account.md" >>"$out/steps.md"
exit "$status"
