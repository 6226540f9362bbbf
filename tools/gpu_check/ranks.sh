#!/usr/bin/env bash
# Tests collectives with the real NCCL, alone and recorded into CUDA graphs: on one rank, and on one rank per GPU.
set -euo pipefail
: "${build_dir:?}" "${programs:?}" "${out:?}"

# check RANKS COMMAND...: runs the tests of NCCL in every rank that the command starts.
check() {
  local name="$1 rank(s)" last=$(($1 - 1)) log=$out/ranks_$1.txt passed
  shift
  "$@" "$programs/test_cuda" --gtest_brief=1 --gtest_filter='Nccl.*:*/NcclTraining.*' >"$log" 2>&1 || {
    cat "$log"
    echo "$name: failed"
    return 1
  }
  [ "$last" = 0 ] || grep -q "^rank $last of $((last + 1))\$" "$log" || {
    echo "$name: the ranks did not connect; does this mpirun belong to the MPI that gptmoe was built with?"
    return 1
  }
  passed=$(sed -n 's/^\[  PASSED  \] \([1-9][0-9]*\) tests\{0,1\}\.$/\1/p' "$log" | head -n 1)
  [ -n "$passed" ] || {
    echo "$name: no test was run"
    return 1
  }
  found+="${found:+; }$name: $passed tests passed"
}
finish() {
  echo "result: $found"
  exit "${1:-0}"
}

found=''
grep -q '^GPTMOE_NCCL:BOOL=ON' "$build_dir/CMakeCache.txt" || { found="nccl.h was not found" && finish 77; }
check 1

gpus=$(nvidia-smi -L | wc -l)
if [ -n "${CUDA_VISIBLE_DEVICES:-}" ]; then gpus=$(tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES" | wc -l); fi
[ "$gpus" -le 8 ] || gpus=8
[ "$gpus" -gt 1 ] || { found+="; several not run: there is one GPU" && finish; }
grep -q '^GPTMOE_MPI:BOOL=ON' "$build_dir/CMakeCache.txt" || { found+="; several not run: no MPI was found" && finish; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
check 2 mpirun -n 2
[ "$gpus" -le 2 ] || check "$gpus" mpirun -n "$gpus"
finish
