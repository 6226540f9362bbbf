#!/usr/bin/env bash
# Fails if a header does not compile alone: every header must include what it uses. The build cannot tell, because its
# sources see the precompiled headers first.
#   tools/check_headers.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

install_build_tools "${build_packages[@]}" "${test_packages[@]}" clang-14 libomp-14-dev
cd "$repo_dir"
options=(-std=c++20 -fopenmp -march=native -Wall -Wextra -Werror -Wno-pragma-once-outside-header -Wno-unused-function
  -Wno-unused-const-variable -I. -Isrc -Itests -Itests/support -Itools/tokenize)
[ -z "${GPTMOE_DEPS_DIR:-}" ] || options+=(-isystem "$GPTMOE_DEPS_DIR/include")
for folder in $(mpicxx --showme:incdirs); do options+=(-isystem "$folder"); done  # for Open MPI, as in build_packages
find_nvcc
if [ -n "$nvcc" ]; then  # the kernels' headers as the simulated GPU sees them
  mapfile -t headers < <(git ls-files '*.h' '*.cuh')
  options+=(-DGPTMOE_SIMT -isystem "$(dirname "$(dirname "$(readlink -f "$nvcc")")")/include")
else
  mapfile -t headers < <(git ls-files '*.h' ':!kernels/cuda' ':!tests/support/simt')
fi
[ -z "${NCCL_HOME:-}" ] || options+=(-isystem "$NCCL_HOME/include")
if ! echo '#include <nccl.h>' | clang++-14 -fsyntax-only "${options[@]}" -x c++ - 2>/dev/null; then
  mapfile -t headers < <(printf '%s\n' "${headers[@]}" | grep -v /nccl/)
fi
compile() {
  local header=$1
  shift
  clang++-14 -fsyntax-only "$@" -x c++ "$header" || { echo "$header: does not compile alone" >&2; return 1; }
}
export -f compile
printf '%s\0' "${headers[@]}" | xargs -0 -P "$(nproc)" -I '{}' bash -c 'compile "$@"' compile '{}' "${options[@]}" ||
  die "The headers above do not compile alone: include what they use"
say "${#headers[@]} headers compile alone"
