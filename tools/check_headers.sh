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
if [ -n "$nvcc" ]; then  # also the kernels' headers, in the form for the simulated GPU
  mapfile -t headers < <(git ls-files '*.h' '*.cuh')
  options+=(-DGPTMOE_SIMT -isystem "$(dirname "$(dirname "$(readlink -f "$nvcc")")")/include")
else
  mapfile -t headers < <(git ls-files '*.h' ':!kernels/cuda' ':!tests/support/simt')
fi
[ -z "${NCCL_HOME:-}" ] || options+=(-isystem "$NCCL_HOME/include")
if ! echo '#include <nccl.h>' | clang++-14 -fsyntax-only "${options[@]}" -x c++ - 2>/dev/null; then
  mapfile -t headers < <(printf '%s\n' "${headers[@]}" | grep -v /nccl/)
fi
# Most of the time goes into system headers, so the heaviest are compiled once. A header is compiled with a precompiled
# set only if it includes the whole set anyway, directly or not. So a missing include still fails, in the header and in
# the headers that it includes.
sets=("gtest/gtest.h nlohmann/json.hpp" CLI/CLI.hpp nlohmann/json.hpp gtest/gtest.h "filesystem functional" filesystem
  functional string vector)
declare -A all  # the system headers that a header includes, directly or not
# reach HEADER: sets all[HEADER].
reach() {
  local header=$1 name folder
  [ -z "${all[$header]:-}" ] || return 0
  all[$header]=' '
  while read -r name; do
    if [[ $name == '<'* ]]; then
      all[$header]+="${name:1} "
      continue
    fi
    for folder in "${header%/*}/" '' src/ tests/ tests/support/ tools/tokenize/; do
      [ -f "$folder${name:1}" ] || continue
      reach "$folder${name:1}"
      all[$header]+=${all[$folder${name:1}]}
      break
    done
  done < <(awk '/^ *# *if/ { depth++ } /^ *# *endif/ { depth-- }
                /^ *# *include ["<]/ && !depth { print substr($2, 1, length($2) - 1) }' "$header")
  # shellcheck disable=SC2086  # a list
  all[$header]=" $(printf '%s\n' ${all[$header]} | sort -u | tr '\n' ' ') "
}
# set_of HEADER: prints the number of the first set that HEADER includes as a whole; nothing if there is none.
set_of() {
  local number name
  for number in "${!sets[@]}"; do
    for name in ${sets[number]}; do [[ ${all[$1]} == *" $name "* ]] || continue 2; done
    echo "$number"
    return
  done
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# precompile OPTION... FILE SET: compiles the headers of SET to FILE.
precompile() {
  # shellcheck disable=SC2086  # the set is a list
  printf '#include <%s>\n' ${*: -1} | clang++-14 "${@:1:$#-2}" -x c++-header - -o "${*: -2:1}"
}
# compile HEADER:PRECOMPILED OPTION...: PRECOMPILED may be empty.
compile() {
  local header=${1%:*} precompiled=${1##*:}
  shift
  clang++-14 -fsyntax-only "$@" ${precompiled:+-include-pch "$precompiled"} -x c++ "$header" ||
    { echo "$header: does not compile alone" >&2; return 1; }
}
export -f precompile compile
for number in "${!sets[@]}"; do printf '%s\0%s\0' "$folder/$number" "${sets[number]}"; done |
  xargs -0 -n 2 -P "$(nproc)" bash -c 'precompile "$@"' precompile "${options[@]}"
for header in "${headers[@]}"; do
  reach "$header"
  number=$(set_of "$header")
  printf '%s\0' "$header:${number:+$folder/$number}"
done | xargs -0 -P "$(nproc)" -I '{}' bash -c 'compile "$@"' compile '{}' "${options[@]}" ||
  die "The headers above do not compile alone: include what they use"
say "${#headers[@]} headers compile alone"
