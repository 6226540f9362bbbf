#!/usr/bin/env bash
# Runs each probe of an instruction of Hopper in a process of its own, since a wrong reading of the manual may hang.
set -euo pipefail
: "${programs:?}" "${out:?}" "${hopper?}"

if [ -z "$hopper" ]; then
  echo "result: this is not a Hopper GPU"
  exit 77
fi
mapfile -t tests < <("$programs/test_cuda" --gtest_list_tests --gtest_filter='*/HopperProbes.*' |
  sed -n 's/^  \([^ ]*\).*/\1/p')
[ "${#tests[@]}" -gt 0 ] || {
  echo "test_cuda has no probes"
  exit 1
}
failed='' ran=0 log=$out/probe.txt
for test in "${tests[@]}"; do
  name=${test##*/} status=0
  timeout --kill-after=5 20 "$programs/test_cuda" --gtest_brief=1 --gtest_filter="*/HopperProbes.$test" >"$log" 2>&1 ||
    status=$?
  if grep -q "^probe $name:" "$log"; then
    ran=$((ran + 1))
    sed -n -e 's/^probe /- /p' -e 's/^  \(right\|wrong\)  /  - \1: /p' "$log"
  elif [ "$status" = 0 ]; then
    echo "- $name: not run"
  elif [ "$status" = 124 ] || [ "$status" = 137 ]; then
    echo "- $name: did not end in 20 s"
  else
    echo "- $name: $(grep -m 1 'CUDA: \|check failed' "$log" || tail -n 1 "$log")"
  fi >>"$out/probes.md"
  [ "$status" = 0 ] || failed+=" $name"
done
cat "$out/probes.md"
[ -z "$failed" ] || {
  echo "not as assumed:$failed"
  exit 1
}
echo "result: $ran of ${#tests[@]} probes find what was assumed, the others were not run"
