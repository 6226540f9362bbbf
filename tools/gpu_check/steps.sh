#!/usr/bin/env bash
# Times training steps of the paper's 8c1 pair, which take turns, with the fastest kernels for this GPU, and measures
# their memory. Then times a dense model with the same active parameters and, on a Hopper GPU, the pair with the
# portable kernels.
set -euo pipefail
: "${gpu:?}" "${repo_dir:?}" "${programs:?}" "${out:?}" "${hopper?}"

used_mib() { nvidia-smi -i "$gpu" --query-gpu=memory.used --format=csv,noheader,nounits; }
total_mib=$(nvidia-smi -i "$gpu" --query-gpu=memory.total --format=csv,noheader,nounits)
report=$repo_dir/tools/gpu_check/report.py

# bench FILE ARGUMENT...: appends its lines to $out/FILE.json. A step here has 8 micro-batches instead of 64, so the
# update takes up to eight times as large a share of its time.
bench() {
  local lines=$out/$1.json
  shift
  "$programs/gptmoe" bench step "$@" --device cuda --precision bf16 --steps 1 --warmup 1 \
    --set train.global_batch_size=128 --json "$out/step.json"
  cat "$out/step.json" >>"$lines"
}
configs=("$repo_dir"/configs/paper/8c1_{topk,default}.json)
# pair FILE ARGUMENT...: the two configs in turns if both fit into the memory.
pair() {
  if [ "$total_mib" -ge 129024 ]; then
    bench "$1" "${configs[@]}" "${@:2}"
  else
    echo "$total_mib MiB are too little for both at once: running one after the other"
    for config in "${configs[@]}"; do bench "$1" "$config" "${@:2}"; done
  fi
}

rm -f "$out"/{steps,dense,portable}.json
status=0 before=$(used_mib)
while sleep 0.3; do used_mib; done >"$out/memory.txt" &
sampler=$!
trap 'kill "$sampler"' EXIT
pair steps --hopper auto --rounds 5 | tee "$out/account.md"
kill "$sampler"
trap - EXIT
python3 "$report" steps "$out/steps.json" "$before" "$out/memory.txt" >"$out/steps.md" || status=$?
cat "$out/account.md" >>"$out/steps.md"
bench dense "${configs[0]}" --set model.num_experts=0 --hopper auto --no-account --rounds 3 | tee -a "$out/steps.md"
if [ -n "$hopper" ]; then
  printf '\nWith the portable kernels:\n\n' >>"$out/steps.md"
  pair portable --hopper off --no-account --rounds 3 | tee -a "$out/steps.md"
else
  cp "$out/steps.json" "$out/portable.json"
fi
python3 "$report" aims "$out/portable.json" "$out/steps.json" "$out/dense.json" | tee -a "$out/steps.md"
[ "$status" = 0 ] || echo "memory is not as planned"
exit "$status"
