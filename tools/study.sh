#!/usr/bin/env bash
# Trains the map of docs/results.md: two of the paper's shapes at width 128 with 12 layers, TopK and Default MoE, each
# at five learning rates with one seed. A run takes about 25 minutes on one core. Run the same command again to continue
# after a stop; finished runs are kept. Build first (tools/quickstart.sh does).
#
#   tools/study.sh [--text FILE|DIR|PATTERN [--val ...]] [--shapes "8c1 32c4"] [--rates 1e-3,2e-3,4e-3,8e-3,16e-3]
#                  [--steps 1000] [--seeds 1] [--jobs N] [--out runs/map]
#
# Makes data/small from --text if it does not exist (tools/prepare_text.sh; without --text the King James Bible). Writes
# a table, OUT/SHAPE.html and OUT/SHAPE/*.svg for each shape.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

text= val= shapes="8c1 32c4" rates=1e-3,2e-3,4e-3,8e-3,16e-3 steps=1000 seeds=1 jobs=$(nproc) out=runs/map
read_options "text val shapes rates steps seeds jobs out" "$@"
cd "$repo_dir"
gptmoe=$(program gptmoe)
if [ -d data/small ]; then
  [ -z "$text$val" ] || die "data/small exists already: remove it, or leave out --text and --val"
else
  tools/prepare_text.sh --out data/small ${text:+--text "$text"} ${val:+--val "$val"}
fi
for shape in $shapes; do
  say "$shape"
  rm -f "$out/report.html"  # of an earlier study
  "$gptmoe" compare "configs/small/${shape}_topk.json" "configs/small/${shape}_default.json" --jobs "$jobs" \
    --set "train.steps=$steps" --sweep "optimizer.learning_rate=$rates" --seeds "$seeds" --out "$out" --svg "$out/$shape"
  [ -e "$out/report.html" ] || exit 1  # compare was stopped
  mv "$out/report.html" "$out/$shape.html"
  mv "$out/report.json" "$out/$shape.json"
done
