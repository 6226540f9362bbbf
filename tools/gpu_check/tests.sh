#!/usr/bin/env bash
# Tests every op case against the CPU in double and runs it twice for equal bits; tests golden model steps and whole
# training runs.
set -euo pipefail
: "${programs:?}" "${out:?}"

status=0
"$programs/test_cuda" --gtest_brief=1 >"$out/test_cuda.txt" 2>&1 || status=$?
grep -v '^|' "$out/test_cuda.txt" || true
{
  grep '^\[  PASSED  \]\|^\[  FAILED  \]\|^not run' "$out/test_cuda.txt" | sed 's/^/- /' || true
  printf '\nRelative error: |got - expected| / (|expected| + rms of the tensor), expected from the CPU in double.\n\n'
  grep '^|' "$out/test_cuda.txt" || true
} >"$out/tests.md"
[ "$status" = 0 ] || {
  failed=$(grep -m 4 '^\[  FAILED  \] .* ms)$' "$out/test_cuda.txt" | cut -d ' ' -f 6 | tr '\n' ' ') || true
  echo "${failed:-$(tail -n 1 "$out/test_cuda.txt")}"
  exit 1
}
echo "result: $(sed -n 's/^\[  PASSED  \] \(.*\)\.$/\1 passed/p' "$out/test_cuda.txt")"
