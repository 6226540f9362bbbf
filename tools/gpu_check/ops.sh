#!/usr/bin/env bash
# Times every op at the sizes of the paper's 8c1 model. On a Hopper GPU, times the ops that have kernels for it again
# with these.
set -euo pipefail
: "${programs:?}" "${out:?}" "${hopper?}"

bench() { "$programs/gptmoe" bench ops --device cuda --precision bf16 "$@" | tee -a "$out/ops.md"; }
bench --hopper off
if [ -n "$hopper" ]; then
  for part in grouped_linear grouped_swiglu attention; do
    echo | tee -a "$out/ops.md"
    bench --hopper on "$part"
  done
fi
echo "result: $(grep -c '^| [a-z]' "$out/ops.md") rows"
