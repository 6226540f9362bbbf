#!/usr/bin/env bash
# Runs compute-sanitizer over a tenth of the op cases, a different tenth for each tool, and memcheck over ten training
# steps.
set -euo pipefail
: "${programs:?}" "${out:?}"

command -v compute-sanitizer >/dev/null || {
  echo "compute-sanitizer was not found"
  exit 1
}

# sanitize NAME TOOL FILTER
sanitize() {
  compute-sanitizer --tool "$2" --error-exitcode 9 "$programs/test_cuda" --gtest_brief=1 --gtest_filter="$3" \
    >"$out/sanitize_$1.txt" 2>&1
}
names=(memcheck racecheck training)
GTEST_TOTAL_SHARDS=10 GTEST_SHARD_INDEX=0 sanitize memcheck memcheck '*CudaOp.*' &
pids=($!)
GTEST_TOTAL_SHARDS=10 GTEST_SHARD_INDEX=1 sanitize racecheck racecheck '*CudaOp.*' &
pids+=($!)
sanitize training memcheck '*FirstSteps*/default_bf16' &
pids+=($!)

failed='' found=''
for i in "${!names[@]}"; do
  log=$out/sanitize_${names[$i]}.txt
  wait "${pids[$i]}" || failed+=" ${names[$i]}"
  ran=$(sed -n 's/^\[  PASSED  \] \([1-9][0-9]* tests\{0,1\}\)\.$/\1/p' "$log")
  verdict=$(grep -o '[A-Z ]*SUMMARY: .*' "$log" | tail -n 1) || true
  # A tool that could not attach or that ran zero tests proves nothing.
  [ -n "$ran" ] && [ -n "$verdict" ] || failed+=" ${names[$i]}"
  found+="${found:+; }${names[$i]}: ${ran:-no tests} passed, ${verdict:-no verdict}"
done
echo "$found"
[ -z "$failed" ] || {
  echo "not clean:$failed; see $out/sanitize_*.txt"
  exit 1
}
echo "result: $found"
