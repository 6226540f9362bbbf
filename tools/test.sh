#!/usr/bin/env bash
# Installs what is missing, builds, runs every test. The last line is "N passed, M failed".
#   tools/test.sh [release|debug|asan]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

preset=${1:-release}
case $preset in
  release) build_dir=$repo_dir/build ;;
  debug | asan) build_dir=$repo_dir/build-$preset ;;
  *) die "usage: tools/test.sh [release|debug|asan]" ;;
esac

install_build_tools "${build_packages[@]}" "${test_packages[@]}"
say "building ($preset)"
build "$preset" all

say "testing ($preset)"
log=$build_dir/test.log
status=0
# One test at a time: the kernels use every core themselves.
ctest --test-dir "$build_dir" --output-on-failure --no-tests=error >"$log" 2>&1 || status=$?
total=$(sed -n 's/.*tests failed out of \([0-9]*\).*/\1/p' "$log")
failed=$(sed -n 's/.*, \([0-9]*\) tests failed out of.*/\1/p' "$log")
[ -n "$total" ] || { cat "$log"; die "the test runner did not report a count"; }
if [ "$failed" != 0 ]; then grep -v ' Passed ' "$log"; fi
printf '%d passed, %d failed\n' "$((total - failed))" "$failed"
exit "$status"
