#!/usr/bin/env bash
# Builds the programs of the other stages, for this machine's GPU only.
set -euo pipefail
: "${gpu:?}" "${repo_dir:?}" "${build_dir:?}" "${deps?}" "${out:?}" "${rehearse?}" "${planted?}"

# A rehearsal builds the programs on the simulated GPU as well. A fault must not spoil what the other stages need.
targets=(gptmoe test_cuda)
if [ -n "$rehearse" ]; then targets+=(gptmoe_simulated test_simt); fi
if [ "$planted" = build ]; then build_dir+=-planted; fi

architecture=$(nvidia-smi -i "$gpu" --query-gpu=compute_cap --format=csv,noheader | tr -d '.')
# The suffix "a" permits instructions that only this generation of GPUs has.
case $architecture in 90 | 100 | 103) architecture+=a ;; esac
generator=()
if command -v ninja >/dev/null; then generator=(-G Ninja); fi
status=0
cmake -S "$repo_dir" -B "$build_dir" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DGPTMOE_CUDA=ON \
  -DCMAKE_CUDA_ARCHITECTURES="$architecture-real" -DGPTMOE_DEPS_DIR="$deps" 2>&1 | tee "$out/configure.txt" || status=$?
if grep -q "GoogleTest not found\|tools/pack_dependencies.sh" "$out/configure.txt"; then
  echo "nlohmann/json, CLI11 or GoogleTest is missing: run tools/pack_dependencies.sh deps where they can be" \
    "installed, and copy deps/ here"
  exit 1
fi
[ "$status" = 0 ] || {
  grep -m 1 "nvcc fatal" "$out/configure.txt" || grep -m 1 -A 2 "^CMake Error" "$out/configure.txt" | tr -s '\n ' ' '
  exit "$status"
}
cmake --build "$build_dir" --parallel "$(nproc)" --target "${targets[@]}"
git -C "$repo_dir" describe --always --dirty >"$build_dir/commit" 2>/dev/null || echo unknown >"$build_dir/commit"
echo "result: for compute capability $architecture${deps:+, with the dependencies in $deps}"
