#!/usr/bin/env bash
# Disturbs every command: an error, a short write, a delay or a kill at each of its file calls, a failure of each of its
# allocations, random kills, damage to each file that it reads. Then runs the command again as its message says and
# compares the results, bit for bit, with those of an undisturbed run. Finally fuzzes every reader.
# Prints a table; docs/reliability.md explains it and has the figures of a run. Findings go to build/torture.findings.
# The exit code is 0 if nothing was lost, silent or crashed.
#   tools/torture.sh [--kills N (100)] [--damages N (300)] [--stride N (1)] [--memory-stride N (1)] [--job NAME]...
#                    [--act NAME]... [--seed N (1)] [--fuzz SECONDS (3600)]
# --kills and --damages are for each job, --fuzz is for each reader; 0 leaves them out. --stride N disturbs every N-th
# call for files, --memory-stride every N-th allocation.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

fuzz=3600 options=()
while [ $# -gt 0 ]; do
  case $1 in
    --fuzz) fuzz=${2:-} && shift $(($# > 1 ? 2 : 1)) ;;
    --kills | --damages | --stride | --memory-stride | --job | --act | --seed)
      [ $# -gt 1 ] || die "$1: give a value; the head of tools/torture.sh lists the options"
      options+=("$1" "$2")
      shift 2
      ;;
    *) die "$1: unknown; the head of tools/torture.sh lists the options" ;;
  esac
done
[[ $fuzz =~ ^[0-9]+$ ]] || die "--fuzz ${fuzz:-}: give a number of seconds"

install_build_tools "${build_packages[@]}" libgtest-dev
say "building"
build release torture
findings=$repo_dir/build/torture.findings status=0
say "disturbing; findings go to $findings"
"$repo_dir/build/torture" "${options[@]}" 2>"$findings" || status=$?
if [ "$status" -gt 1 ]; then
  tail -n 1 "$findings" >&2
  exit "$status"
fi
[ "$fuzz" = 0 ] || "$repo_dir/tools/fuzz.sh" "$fuzz" || status=1
exit "$status"
