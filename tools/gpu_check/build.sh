#!/usr/bin/env bash
# Builds the programs of the other stages, for this machine's GPU only.
set -euo pipefail
: "${gpu:?}" "${repo_dir:?}" "${build_dir:?}" "${deps?}" "${out:?}"

architecture=$(nvidia-smi -i "$gpu" --query-gpu=compute_cap --format=csv,noheader | tr -d '.')
# The suffix "a" permits instructions that only this generation of GPUs has.
case $architecture in 90 | 100 | 103) architecture+=a ;; esac
generator=()
if command -v ninja >/dev/null; then generator=(-G Ninja); fi
cmake -S "$repo_dir" -B "$build_dir" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DGPTMOE_CUDA=ON \
  -DCMAKE_CUDA_ARCHITECTURES="$architecture-real" -DGPTMOE_DEPS_DIR="$deps" | tee "$out/configure.txt"
if grep -q "GoogleTest not found" "$out/configure.txt"; then
  echo "GoogleTest was not found: copy it here with the folder of tools/pack_dependencies.sh"
  exit 1
fi
cmake --build "$build_dir" --parallel "$(nproc)" --target gptmoe test_cuda
git -C "$repo_dir" describe --always --dirty >"$build_dir/commit" 2>/dev/null || echo unknown >"$build_dir/commit"
