#!/usr/bin/env bash
# Times every op at the sizes of the paper's 8c1 model.
set -euo pipefail
: "${build_dir:?}" "${out:?}"

"$build_dir/gptmoe" bench ops --device cuda --precision bf16 | tee "$out/ops.md"
