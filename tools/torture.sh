#!/usr/bin/env bash
# Disturbs every command: an error, a short write, a delay or a kill at each of its file calls, a failed allocation at
# each place that allocates, random kills, damage to each file that it reads. Then runs the command again as its message
# says and compares the results, bit for bit, with those of an undisturbed run. Finally fuzzes every reader.
# Prints a table and a line for each finding; docs/reliability.md explains the table and has the figures of a campaign.
# Each attempt adds a line to build/torture.tsv. After a stop, the same command continues with the attempts that are
# missing there. Campaigns on different jobs (--job) share that file.
# The exit code is 0 if no attempt counts as lost, silent or crashed.
#   tools/torture.sh [--kills N (100)] [--damages N (300)] [--stride N (1)] [--memory-stride N (1)] [--job NAME]...
#                    [--act NAME]... [--seed N (1)] [--parallel N (cores)] [--count] [--retry | --restart]
#                    [--fuzz SECONDS (3600)]
# --job and --act limit the campaign to these jobs and faults. --kills and --damages are for each job, --fuzz is for
# each reader; 0 leaves them out. --stride N disturbs every N-th file call, --memory-stride every N-th place that
# allocates. --count says how many attempts there are and makes none. --retry repeats the attempts that did not survive,
# after a fix; --restart forgets all earlier attempts.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

outcomes=$repo_dir/build/torture.tsv
fuzz=3600 parallel=$(nproc) count='' options=()
while [ $# -gt 0 ]; do
  case $1 in
    --count) count=1 ;;
    --retry) options+=("$1") ;;
    --restart) rm -f "$outcomes" ;;
    --fuzz | --parallel | --kills | --damages | --stride | --memory-stride | --job | --act | --seed)
      [ $# -gt 1 ] || die "$1: give a value; the head of tools/torture.sh lists the options"
      case $1 in
        --fuzz) fuzz=$2 ;;
        --parallel) parallel=$2 ;;
        *) options+=("$1" "$2") ;;
      esac
      shift
      ;;
    *) die "$1: unknown; the head of tools/torture.sh lists the options" ;;
  esac
  shift
done
[[ $fuzz =~ ^[0-9]+$ ]] || die "--fuzz $fuzz: give a number of seconds"
[[ $parallel =~ ^[1-9][0-9]*$ ]] || die "--parallel $parallel: give a number of attempts"

install_build_tools "${build_packages[@]}" libgtest-dev
say "building"
build release torture
say "disturbing; outcomes go to $outcomes"
torture=("$repo_dir/build/torture" --outcomes "$outcomes" --parallel "$parallel" "${options[@]}")
if [ -n "$count" ]; then
  "${torture[@]}" --count
  exit
fi
status=0
"${torture[@]}" || status=$?
[ "$status" -le 1 ] || exit "$status"
[ "$fuzz" = 0 ] || "$repo_dir/tools/fuzz.sh" --jobs "$parallel" --total "$fuzz" || status=1
exit "$status"
