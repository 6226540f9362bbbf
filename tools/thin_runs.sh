#!/usr/bin/env bash
# Copies runs without their checkpoints and with one train row in a hundred: small enough to keep with a report. All
# evaluations stay, so gptmoe compare and gptmoe report draw the same perplexity curves from the copies. Each copy
# starts with a row "thinned". This row holds the original's number of train rows and its number of loss spikes, as
# gptmoe report counts them. Reports on the copies show these numbers.
#
#   tools/thin_runs.sh FROM TO        every run below the folder FROM, to the same path below TO
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# = 2 ] || die "usage: tools/thin_runs.sh FROM TO"
from=${1%/} to=${2%/} gptmoe=${GPTMOE:-$(program gptmoe)}
[ -d "$from" ] || die "$from: no such folder"
lock_output "$to" "is writing runs there; wait for it or choose another folder"
trap 'rm -f "$output_lock"' EXIT
report=$(mktemp -d)
trap 'rm -rf "$report" "$output_lock"' EXIT

# A last line without a line break is incomplete.
complete_lines() { if [ -n "$(tail -c 1 "$1")" ]; then sed '$d' "$1"; else cat "$1"; fi; }

find "$from" -name metrics.jsonl -printf '%h\n' | sort | while IFS= read -r run; do
  copy=$to/${run#"$from"/}
  mkdir -p "$copy"
  for file in config.json history.json analysis.json jobs.json provenance.json; do
    if [ -e "$run/$file" ]; then cp "$run/$file" "$copy/"; fi
  done
  "$gptmoe" report "$run" --out "$report" >/dev/null
  spikes=$(sed -nE 's/^ *"spikes_per_run": ([0-9]+|null).*/\1/p' "$report/report.json")
  rows=$(complete_lines "$run/metrics.jsonl" | sed -n '/^{"event":"train"/p' | wc -l)
  {
    sed -n '/^{"event":"thinned"/p' "$run/metrics.jsonl" | grep . ||
      printf '{"event":"thinned","step":0,"train_rows":%d,"loss_spikes":%s}\n' "$rows" "$spikes"
    complete_lines "$run/metrics.jsonl" | sed -nE '/^\{"event":"(eval|diverged)"/p; /^\{"event":"train","step":[0-9]*00,/p'
  } >"$copy/metrics.jsonl"
done
