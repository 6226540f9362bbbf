#!/usr/bin/env bash
# Fuzzes the readers of input files with libFuzzer: installs clang, builds, runs every target of tests/fuzz for SECONDS,
# starting with the seeds. A finding goes to build-fuzz/findings/TARGET-* and ends the script with an error.
#   tools/fuzz.sh [SECONDS (60)] [TARGET ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

seconds=${1:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "usage: tools/fuzz.sh [SECONDS] [TARGET ...]"
shift $(($# > 0))
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n 's/^void \([a-z0-9_]*\)(.*/\1/p' "$repo_dir/tests/fuzz/targets.h")

install_build_tools "${build_packages[@]}" clang-14 libclang-rt-14-dev libomp-14-dev
say "building"
build fuzz "${targets[@]/#/fuzz_}"

cd "$repo_dir/build-fuzz"
mkdir -p findings
for target in "${targets[@]}"; do
  say "fuzzing $target for $seconds seconds"
  mkdir -p "corpus/$target"
  "./fuzz_$target" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=30 -print_final_stats=1 -verbosity=0 \
    -artifact_prefix="findings/$target-" "corpus/$target" "$repo_dir/tests/fuzz/seeds/$target" >"$target.log" 2>&1 ||
    {
      tail -n 40 "$target.log"
      die "$target: a finding, see build-fuzz/findings; add it to tests/fuzz/seeds/$target once fixed"
    }
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$target.log")
  printf '   %-16s %s inputs, nothing found\n' "$target" "$runs"
done
