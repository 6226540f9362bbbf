#!/usr/bin/env bash
# The study of docs/results.md: three of the paper's shapes at width 128, TopK and Default MoE, each at three learning
# rates with three seeds. Takes hours; what is done is not done again. Build first (tools/quickstart.sh does).
#
#   tools/study.sh [--text FILE|DIR|PATTERN [--val ...]] [--shapes "8c1 8c2 32c1"] [--rates 2e-3,4e-3,8e-3]
#                  [--seeds 3] [--jobs N] [--out runs/study]
#
# data/small is made from --text if it is not there (tools/prepare_text.sh; without --text the King James Bible). Each
# shape ends with a table, and OUT/SHAPE.html and OUT/SHAPE/*.svg.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

text= val= shapes="8c1 8c2 32c1" rates=2e-3,4e-3,8e-3 seeds=3 jobs=$(nproc) out=runs/study
while [ $# -gt 0 ]; do
  case $1 in
    --text | --val | --shapes | --rates | --seeds | --jobs | --out)
      [ $# -ge 2 ] || die "$1 needs a value"
      printf -v "${1#--}" '%s' "$2"
      shift 2
      ;;
    -h | --help)
      sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) die "unknown argument $1; see tools/study.sh --help" ;;
  esac
done
cd "$repo_dir"
[ -x build/gptmoe ] || die "build/gptmoe is not built: cmake --preset release && cmake --build --preset release"
if [ -d data/small ]; then
  [ -z "$text$val" ] || die "data/small is there already: remove it, or leave out --text and --val"
else
  tools/prepare_text.sh --out data/small ${text:+--text "$text"} ${val:+--val "$val"}
fi
for shape in $shapes; do
  say "$shape"
  rm -f "$out/report.html"  # of an earlier time
  build/gptmoe compare "configs/small/${shape}_topk.json" "configs/small/${shape}_default.json" --jobs "$jobs" \
    --sweep "optimizer.learning_rate=$rates" --seeds "$seeds" --out "$out" --svg "$out/$shape"
  [ -e "$out/report.html" ] || exit 1  # stopped: the same command goes on
  mv "$out/report.html" "$out/$shape.html"
  mv "$out/report.json" "$out/$shape.json"
done
