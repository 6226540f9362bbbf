#!/usr/bin/env bash
# Fuzzes the readers of input files with libFuzzer: installs clang, builds, runs every target of tests/fuzz for SECONDS,
# starting with the seeds and the inputs that earlier runs kept (build-fuzz/corpus). A finding goes to
# build-fuzz/findings/TARGET-* and makes the exit code 1.
#   tools/fuzz.sh [--jobs N (1)] [--total] [SECONDS (60)] [TARGET ...]
# --jobs N runs N targets at a time. With --total, SECONDS is the time that all runs of a target together are to reach,
# earlier runs included, so the same command continues after a stop. Each run is at most ten minutes long and adds a
# line to build-fuzz/record.tsv: target, seconds, inputs. At the end the script prints that file's sums for each target.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage='usage: tools/fuzz.sh [--jobs N] [--total] [SECONDS] [TARGET ...]'
jobs=1 total=''
while [[ ${1:-} == --* ]]; do
  case $1 in
    --jobs)
      jobs=${2:-}
      [[ $jobs =~ ^[1-9][0-9]*$ ]] || die "$usage"
      shift
      ;;
    --total) total=1 ;;
    *) die "$usage" ;;
  esac
  shift
done
seconds=${1:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "$usage"
shift $(($# > 0))
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n 's/^void \([a-z0-9_]*\)(.*/\1/p' "$repo_dir/tests/fuzz/targets.h")

install_build_tools "${build_packages[@]}" clang-14 libclang-rt-14-dev libomp-14-dev
say "building"
build fuzz "${targets[@]/#/fuzz_}"

cd "$repo_dir/build-fuzz"
mkdir -p findings
touch record.tsv
# The seconds for which a target has run so far, according to record.tsv.
recorded() { awk -F '\t' -v target="$1" '$1 == target { sum += $2 } END { print sum + 0 }' record.tsv; }

# fuzz TARGET SECONDS SEEDS: one run. Fails if it finds something.
fuzz() {
  local target=$1 begin=$SECONDS status=0 log=$1-$$.log  # a target may run twice at a time
  mkdir -p "corpus/$target"
  "./fuzz_$target" -max_total_time="$2" -rss_limit_mb=4096 -timeout=30 -print_final_stats=1 -verbosity=0 \
    -artifact_prefix="findings/$target-" "corpus/$target" "$3/$target" >"$log" 2>&1 || status=$?
  local inputs
  inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  printf '%s\t%d\t%d\n' "$target" $((SECONDS - begin)) "${inputs:-0}" >>record.tsv
  if [ "$status" != 0 ]; then
    tail -n 40 "$log"
    printf '%s: a finding, see build-fuzz/findings; add it to tests/fuzz/seeds/%s once fixed\n' "$target" "$target"
    return 1
  fi
  rm "$log"
  [ ! -t 2 ] || printf '   %-16s %s more inputs\n' "$target" "$inputs" >&2
}
export -f fuzz

say "fuzzing ${#targets[@]} readers, $seconds seconds each"
runs=() longest=600
declare -A left
for target in "${targets[@]}"; do
  left[$target]=$seconds
  [ -z "$total" ] || left[$target]=$((seconds - $(recorded "$target")))
done
for ((round = 0; round * longest < seconds; ++round)); do
  for target in "${targets[@]}"; do
    now=$((left[$target] < longest ? left[$target] : longest))
    [ "$now" -le 0 ] || runs+=("$target $now")
    left[$target]=$((left[$target] - longest))
  done
done
status=0
[ ${#runs[@]} = 0 ] || printf '%s\n' "${runs[@]}" |
  xargs -P "$jobs" -L 1 bash -c 'fuzz "$1" "$2" "$0"' "$repo_dir/tests/fuzz/seeds" || status=1

printf '| target | seconds | inputs |\n|---|--:|--:|\n'
awk -F '\t' '{ seconds[$1] += $2; inputs[$1] += $3 }
  END { for (target in seconds) printf "| %s | %d | %d |\n", target, seconds[target], inputs[target] }' record.tsv | sort
exit "$status"
