#!/usr/bin/env bash
# Installs missing packages, builds, runs every test. The last line is "N passed, M failed".
#   tools/test.sh [test|debug|asan|tsan] [--without-simulator]
# "test" builds the release's code in its own folder, so build/ keeps its settings. --without-simulator leaves out the
# tests of the CUDA backend on the simulated GPU. "tsan" runs the tests of the parts that start threads of their own.
# OpenMP's threads are left out: its library is not instrumented, so accesses that it orders would be reported as races.
# The thread that watches the ranks of an MPI job is left out for the same reason.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

preset=${1:-test}
case $preset in
  test | debug | asan | tsan) build_dir=$repo_dir/build-$preset ;;
  *) die "usage: tools/test.sh [test|debug|asan|tsan] [--without-simulator]" ;;
esac
case ${2:-} in
  '') simulator=ON ;;
  --without-simulator) simulator=OFF ;;
  *) die "$2: unknown; usage: tools/test.sh [test|debug|asan|tsan] [--without-simulator]" ;;
esac

install_build_tools "${build_packages[@]}" "${test_packages[@]}"
# clang compiles faster than g++ with the sanitizers.
if [ "$preset" = asan ] || [ "$preset" = tsan ]; then install_build_tools clang-14 libclang-rt-14-dev libomp-14-dev; fi
if [ "$preset" = asan ]; then install_build_tools lld-14; fi
# Builds the CUDA backend for two GPUs that together use all of its code.
find_nvcc
cuda_options=(-DGPTMOE_CUDA=OFF)
programs=(all)
if [ "$preset" = tsan ]; then
  nvcc=
  programs=(test_base test_tokenizer test_corpus)
  export OMP_NUM_THREADS=1 TSAN_OPTIONS="ignore_noninstrumented_modules=1 ${TSAN_OPTIONS:-}"
fi
[ -z "$nvcc" ] || cuda_options=(-DGPTMOE_CUDA=ON -DGPTMOE_SIMULATOR=$simulator)
if [ -n "$nvcc" ] && [ "$preset" != asan ]; then
  cuda_options+=(-DGPTMOE_STRICT_KERNELS=ON "-DCMAKE_CUDA_ARCHITECTURES=80-real;90a-real")
fi
say "building ($preset)"
build "$preset" "${cuda_options[@]}" "${programs[@]}"
kernel_check=
if [ -n "$nvcc" ] && [ "$preset" = test ]; then  # beside the tests, since it uses one core
  "$repo_dir/tools/check_kernels.sh" "$build_dir" >"$build_dir/check_kernels.log" 2>&1 &
  kernel_check=$!
fi

say "testing ($preset)"
export GOMP_SPINCOUNT=1000  # as the programs do for themselves (src/base/openmp_wait.h)
export KMP_BLOCKTIME=0      # the same for clang's OpenMP, whose idle threads would spin for 200 ms
# Tests flush many small files, which takes a disk longer than all their other work. So their folders are in memory if
# it has room and programs can run from there: test_cli installs some.
folder=$(mktemp -d -p /dev/shm gptmoe_tests_XXXXXX 2>/dev/null || true)
if [ -n "$folder" ]; then
  trap 'rm -rf "$folder"' EXIT
  if [ "$(df --output=avail "$folder" | tail -n 1)" -ge 4000000 ] && cp "$(type -P true)" "$folder" &&
    "$folder/true" 2>/dev/null; then
    export TMPDIR=$folder
  fi
  rm -f "$folder/true"
fi
# Runs one more program at a time than there are cores: most tests use one core, and some wait for other processes. The
# largest programs take longest and come first.
# test_cli and test_simt take so long that one of them would run alone at the end. Each runs as two programs, PATH:0 and
# PATH:1, with every second test.
run_test() {
  local status=0
  [[ $1 != *:[01] ]] || export GTEST_TOTAL_SHARDS=2 GTEST_SHARD_INDEX=${1##*:}
  timeout 1200 "${1%:[01]}" --gtest_brief=1 >"$1.log" 2>&1 || status=$?
  echo "$status" >"$1.status"
}
export -f run_test
# shellcheck disable=SC2207  # names without spaces
binaries=($(ctest --test-dir "$build_dir" --show-only | sed -n 's/^ *Test *#[0-9]*: //p' | sed "s|^|$build_dir/test_|" |
  xargs -r ls -S))
[ "$preset" != tsan ] || binaries=("${programs[@]/#/$build_dir/}")
tests=()
for binary in "${binaries[@]}"; do
  case $(basename "$binary") in
    test_cli | test_simt) tests+=("$binary:0" "$binary:1") ;;
    *) tests+=("$binary") ;;
  esac
done
rm -f "${tests[@]/%/.status}"
printf '%s\0' "${tests[@]}" | xargs -0 -n 1 -P $(($(nproc) + 1)) bash -c 'run_test "$1"' run_test

passed=0 failed=0
for test in "${tests[@]}"; do
  log=$test.log status=$(cat "$test.status" 2>/dev/null || echo 1)
  if [ "$status" = 77 ]; then  # test_cuda without a GPU
    printf '   %-14s %s\n' "$(basename "$test")" "$(tail -n 1 "$log")"
    continue
  fi
  ok=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) tests\{0,1\}\.$/\1/p' "$log")
  bad=$(grep -c '^\[  FAILED  \] .* ms)$' "$log" || true)
  # A binary that died before its summary counts as one failure.
  if [ "$bad" = 0 ] && { [ "$status" != 0 ] || [ -z "$ok" ]; }; then bad=1; fi
  if [ "$bad" != 0 ]; then cat "$log"; fi
  skipped=$(sed -n 's/^\[  SKIPPED \] \([0-9]*\) tests\{0,1\}.*$/, \1 skipped/p' "$log")
  printf '   %-14s %5d passed, %d failed%s\n' "$(basename "$test")" "${ok:-0}" "$bad" "$skipped"
  passed=$((passed + ${ok:-0})) failed=$((failed + bad))
done
[ "$passed" -gt 0 ] || die "no test ran"
if [ -n "$kernel_check" ]; then
  wait "$kernel_check" || failed=$((failed + 1))
  cat "$build_dir/check_kernels.log"
fi
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
