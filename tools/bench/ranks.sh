#!/usr/bin/env bash
# Compares one rank on all cores with one rank per core, which take turns: tokens per second of training, and the share
# of a step that ranks spend on communication.
#   tools/bench/ranks.sh [--config FILE] [--rounds N] [--steps N] [--set path=value]...
# Medians over the rounds. Uses data/quickstart, which tools/quickstart.sh makes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

config=$repo_dir/configs/quickstart/default.json rounds=5 steps=60 overrides=()
read_options "config rounds steps set" "$@"
cd "$repo_dir"
[ -x build/gptmoe ] || die "build/gptmoe does not exist; build it with tools/quickstart.sh"
[ -d data/quickstart ] || die "data/quickstart does not exist; tools/quickstart.sh makes it"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# measure NAME RANKS THREADS: appends a line to the file NAME: tokens/s and the share of communication, of the steps
# after the first ten.
measure() {
  rm -rf "$folder/run"
  OMP_NUM_THREADS=$3 build/gptmoe train "$config" --out "$folder/run" --ranks "$2" --set train.steps="$steps" \
    --set schedule.warmup_steps=0 --set train.eval_every=0 --set data.val= --set checkpoint.every=0 --set log.every=1 \
    "${overrides[@]}" >/dev/null
  awk '
    match($0, /"tokens":[0-9]+/) { tokens = substr($0, RSTART + 9, RLENGTH - 9) }
    match($0, /"seconds":[0-9.e+-]+}$/) { seconds = substr($0, RSTART + 10, RLENGTH - 11) }
    /"step":10,/ { first_tokens = tokens; first_seconds = seconds }
    /"event":"train"/ && first_seconds && match($0, /"communication":.*}}/) && !/"step":10,/ {
      parts = split(substr($0, RSTART, RLENGTH), part, "\"seconds\":")
      for (i = 2; i <= parts; ++i) waited += part[i]
    }
    END { printf "%.0f %.4f\n", (tokens - first_tokens) / (seconds - first_seconds), waited / (seconds - first_seconds) }
  ' "$folder/run/metrics.jsonl" >>"$folder/$1"
}

median() { cut -d' ' -f"$2" "$folder/$1" | sort -g | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'; }

cores=$(nproc)
for ((round = 0; round < rounds; ++round)); do
  measure one 1 "$cores"
  measure ranks "$cores" 1
done
paste -d' ' "$folder/one" "$folder/ranks" | awk '{ print $3 / $1 }' >"$folder/ratio"
printf '1 rank x %s threads   %s tokens/s\n' "$cores" "$(median one 1)"
printf '%s ranks x 1 thread   %s tokens/s, %s of a step in communication\n' "$cores" "$(median ranks 1)" "$(median ranks 2)"
printf 'ratio                 %s (median of %s rounds)\n' "$(median ratio 1)" "$rounds"
