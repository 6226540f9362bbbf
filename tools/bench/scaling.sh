#!/usr/bin/env bash
# Measures training tokens per second against the number of experts (same width, same number active) and against the
# tokens per step. The variants take turns within one run. Prints Markdown and draws both charts.
#   tools/bench/scaling.sh [--config FILE] [--experts 8,16,32,64] [--tokens 512,1024,2048,4096] [--rounds N] [--steps N]
#                          [--out DIR] [--set path=value]...
# Medians over the rounds; experts.svg, tokens.svg and JSON lines go in DIR (default: runs/scaling).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

config=$repo_dir/configs/bench/moe_256.json experts=8,16,32,64 tokens=512,1024,2048,4096 rounds=5 steps=3
out=$repo_dir/runs/scaling overrides=()
read_options "config experts tokens rounds steps out set" "$@"
gptmoe=$repo_dir/build/gptmoe
[ -x "$gptmoe" ] || die "build/gptmoe does not exist; build it with tools/quickstart.sh"
mkdir -p "$out"

# sweep NAME VALUES: `gptmoe bench step` with --NAME VALUES.
sweep() {
  "$gptmoe" bench step "$config" "--$1" "$2" --rounds "$rounds" --steps "$steps" --warmup 2 --no-account \
    "${overrides[@]}" --json "$out/$1.json" --svg "$out/$1.svg"
}
printf '## Experts\n\n'
sweep experts "$experts"
printf '\n## Tokens of a step\n\n'
sweep tokens "$tokens"
say "charts and JSON: $out"
