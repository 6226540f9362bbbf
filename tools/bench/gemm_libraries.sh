#!/usr/bin/env bash
# Our matrix product beside the libraries': the rate of large products and tokens per second of whole training steps, by
# one program for each, in turns. Libraries that are not installed are left out.
#   tools/bench/gemm_libraries.sh [--config FILE] [--threads N] [--rounds N] [--steps N]
#                                 [--libraries builtin,openblas,blis,onednn,mkl]
# Prints Markdown: medians (lowest to highest) over the rounds. The programs stay in build-gemm/LIBRARY.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

config=$repo_dir/configs/bench/moe_256.json threads=1 rounds=5 steps=2 libraries=builtin,openblas,blis,onednn,mkl
while [ $# -gt 0 ]; do
  case $1 in
    --config | --threads | --rounds | --steps | --libraries)
      [ $# -ge 2 ] || die "$1 needs a value"
      printf -v "${1#--}" '%s' "$2"
      ;;
    *) die "unknown argument $1; the first lines of tools/bench/gemm_libraries.sh list them" ;;
  esac
  shift 2
done

programs=()
for library in ${libraries//,/ }; do
  folder=$repo_dir/build-gemm/$library
  if ! cmake -S "$repo_dir" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_UNITY_BUILD=ON -DGPTMOE_CUDA=OFF \
    -DGPTMOE_BLAS="$library" >"$folder.log" 2>&1; then
    grep -q "GPTMOE_BLAS=$library" "$folder.log" || die "cmake failed: $folder.log"
    say "$library is not installed"
    continue
  fi
  cmake --build "$folder" --target gptmoe >"$folder.log" 2>&1 || die "the build failed: $folder.log"
  programs+=("$library")
done

results=$(mktemp)
trap 'rm -f "$results"' EXIT
for ((round = 0; round < rounds; ++round)); do
  for library in "${programs[@]}"; do
    "$repo_dir/build-gemm/$library/gptmoe" bench step "$config" --threads "$threads" --rounds 1 \
      --steps "$steps" --warmup 1 --no-account --json - |
      sed "s/^{/{\"library\":\"$library\",/" >>"$results"
  done
done

# summary LIBRARY KEY: median (lowest to highest).
summary() {
  sed -n "s/^{\"library\":\"$1\",.*\"$2\":\([0-9.e+-]*\).*/\1/p" "$results" | sort -g | awk '
    { x[NR] = $1 }
    END { printf "%.0f (%.0f to %.0f)", (x[int((NR + 1) / 2)] + x[int((NR + 2) / 2)]) / 2, x[1], x[NR] }'
}
printf '%s, %s thread(s), %s rounds\n\n' "$(basename "$config")" "$threads" "$rounds"
printf '| product | large products, GFLOP/s | whole steps, tokens/s |\n|---|---|---|\n'
for library in "${programs[@]}"; do
  printf '| %s | %s | %s |\n' "$library" "$(summary "$library" matrix_gflops)" "$(summary "$library" tokens_per_second)"
done
