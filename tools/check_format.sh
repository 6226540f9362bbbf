#!/usr/bin/env bash
# Fails, naming the files, if a source is not formatted by .clang-format (clang-format 14).
#   tools/check_format.sh [--fix]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

install_packages clang-format-14 git
cd "$repo_dir"
listing=$(git ls-files '*.h' '*.cpp' '*.cu' '*.cuh')
[ -n "$listing" ] || die "git lists no sources in $repo_dir"
mapfile -t files <<<"$listing"
action=(--dry-run --Werror)
if [ "${1:-}" = --fix ]; then action=(-i); fi
printf '%s\0' "${files[@]}" | xargs -0 -n 20 -P "$(nproc)" clang-format-14 "${action[@]}"
