#!/usr/bin/env bash
# Copies runs without their checkpoints and with one row of training in a hundred: small enough to keep with a report.
# Evaluations stay whole, so gptmoe compare and gptmoe report draw the same perplexity curves from the copies.
#
#   tools/thin_runs.sh FROM TO        every run below the folder FROM, to the same place below TO
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# = 2 ] || die "usage: tools/thin_runs.sh FROM TO"
from=${1%/} to=${2%/}
[ -d "$from" ] || die "$from: no such folder"
find "$from" -name metrics.jsonl -printf '%h\n' | sort | while IFS= read -r run; do
  copy=$to/${run#"$from"/}
  mkdir -p "$copy"
  cp "$run/config.json" "$copy/"
  if [ -e "$run/analysis.json" ]; then cp "$run/analysis.json" "$copy/"; fi
  grep -E '^\{"event":"(eval|diverged)"|^\{"event":"train","step":[0-9]*00,' "$run/metrics.jsonl" >"$copy/metrics.jsonl"
done
