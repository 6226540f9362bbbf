#!/usr/bin/env bash
# Times every op at the sizes of the paper's 8c1 model. On a Hopper GPU, times the ops that have kernels for it again
# with these.
set -euo pipefail
: "${build_dir:?}" "${out:?}" "${hopper?}"

bench() { "$build_dir/gptmoe" bench ops --device cuda --precision bf16 "$@" | tee -a "$out/ops.md"; }
bench --hopper off
[ -n "$hopper" ] || exit 0
for part in grouped_linear grouped_swiglu attention; do
  echo | tee -a "$out/ops.md"
  bench --hopper on "$part"
done
