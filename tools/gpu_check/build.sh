#!/usr/bin/env bash
# What the other stages run, for the GPU at hand only.
set -euo pipefail
: "${gpu:?}" "${repo_dir:?}" "${build_dir:?}" "${deps?}" "${out:?}"

architecture=$(nvidia-smi -i "$gpu" --query-gpu=compute_cap --format=csv,noheader | tr -d '.')
# Instructions of one generation alone are named by an "a"; consumer GPUs of the next have none of them.
case $architecture in 90 | 100 | 103) architecture+=a ;; esac
generator=()
if command -v ninja >/dev/null; then generator=(-G Ninja); fi
cmake -S "$repo_dir" -B "$build_dir" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DGPTMOE_CUDA=ON \
  -DCMAKE_CUDA_ARCHITECTURES="$architecture-real" -DGPTMOE_DEPS_DIR="$deps" | tee "$out/configure.txt"
if grep -q "GoogleTest not found" "$out/configure.txt"; then
  echo "GoogleTest was not found: bring it along in the folder of tools/pack_dependencies.sh"
  exit 1
fi
cmake --build "$build_dir" --parallel "$(nproc)" --target gptmoe test_cuda
git -C "$repo_dir" describe --always --dirty >"$build_dir/commit" 2>/dev/null || echo unknown >"$build_dir/commit"
