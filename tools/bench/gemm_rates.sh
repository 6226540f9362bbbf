#!/usr/bin/env bash
# Times our matrix product and, if installed, OpenBLAS's, which take turns: GFLOP/s of one thread at four sizes.
#   tools/bench/gemm_rates.sh [--rounds N]
# Prints Markdown: the fastest and the median of the rounds. OpenBLAS is Debian's package libopenblas-dev.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

rounds=10
read_options "rounds" "$@"
folder=$repo_dir/build-gemm
install_build_tools "${build_packages[@]}"
mkdir -p "$folder"
{ cmake -S "$repo_dir" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGPTMOE_CUDA=OFF &&
  cmake --build "$folder" --target gemm_rates; } >"$folder/log" 2>&1 || die "the build failed: $folder/log"

for ((round = 0; round < rounds; ++round)); do
  for program in "$folder"/gemm_rate_*; do "$program"; done
done | awk -F': ' -v rounds="$rounds" '
  !($1 in seen) { seen[$1] = 1; names[++count] = $1 }
  { lines[$1, ++has[$1]] = $2 }
  END {
    printf "| product | 1024 x 1024 x 1024 | 2048 x 768 x 256 | 256 x 1408 x 256 | 32 x 512 x 128 |\n|---|---|---|---|---|\n"
    for (i = 1; i <= count; ++i) {
      printf "| %s |", names[i]
      for (column = 1; column <= 4; ++column) {
        for (round = 1; round <= rounds; ++round) {
          split(lines[names[i], round], rates, " ")
          for (at = round; at > 1 && sorted[at - 1] > rates[column] + 0; --at) sorted[at] = sorted[at - 1]
          sorted[at] = rates[column] + 0
        }
        median = (sorted[int((rounds + 1) / 2)] + sorted[int((rounds + 2) / 2)]) / 2
        printf " %.0f, median %.0f |", sorted[rounds], median
      }
      printf "\n"
    }
  }'
