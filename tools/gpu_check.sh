#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: builds, tests and measures the CUDA backend in less than nine minutes, and writes a
# Markdown summary. docs/gpu.md explains the stages.
#
#   tools/gpu_check.sh [--only STAGE,...] [--out DIR] [--deps DIR] [--limit SECONDS]
#   tools/gpu_check.sh --rehearse [--plant STAGE] [...]
#
# Stages: build, probes, tests, ops, steps, pytorch, sanitize, curves, repeat, ranks. If a stage other than the first
# fails, the others still run. DIR (default: runs/gpu_check) receives summary.md, details.md and the logs. The script
# needs CUDA's nvcc, CMake, a C++ compiler and python3 (the stage pytorch also PyTorch), but no network and no packages:
# if nlohmann/json, CLI11 and GoogleTest are missing, run `tools/pack_dependencies.sh deps` on a machine that has them
# and copy the folder here as deps/, or name it with --deps DIR. A slow machine needs a higher --limit than 530 seconds,
# which all stages share.
#
# --rehearse needs no GPU: the same stages run with small sizes on the simulated GPU. The build takes as long as it
# needs. --plant makes a stage meet a fault, which it must find. tools/rehearse_gpu_check.sh tries all of this.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The most valuable come first: if all take as long as they may, the last ones are left out.
all_stages=(build probes tests ops steps pytorch sanitize curves repeat ranks)
# Seconds that a stage may take of the 530.
declare -A limits=([build]=200 [probes]=60 [tests]=90 [ops]=75 [steps]=120 [pytorch]=120 [sanitize]=90 [curves]=60
  [repeat]=30 [ranks]=40)

stages=("${all_stages[@]}") out='' deps=${GPTMOE_DEPS_DIR:-} total=530 rehearse='' planted=''
while [ $# -gt 0 ]; do
  case $1 in
    --rehearse)
      rehearse=1
      shift
      ;;
    --only | --out | --deps | --limit | --plant)
      [ $# -ge 2 ] || die "$1 needs a value"
      case $1 in
        --only) IFS=, read -r -a stages <<<"$2" ;;
        --out) out=$2 ;;
        --deps) deps=$2 ;;
        --limit) total=$2 ;;
        --plant) planted=$2 ;;
      esac
      shift 2
      ;;
    -h | --help)
      sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) die "unknown argument $1; tools/gpu_check.sh --help lists them" ;;
  esac
done
for stage in "${stages[@]}"; do
  [ -n "${limits[$stage]:-}" ] || die "--only $stage: the stages are ${all_stages[*]}"
done
[[ $total =~ ^[1-9][0-9]*$ ]] || die "--limit $total: give a whole number of seconds"

if [ -n "$planted" ]; then
  [ -n "$rehearse" ] || die "--plant $planted: needs --rehearse"
  [ -n "${limits[$planted]:-}" ] || die "--plant $planted: the stages are ${all_stages[*]}"
fi

PATH=$PATH:/usr/local/cuda/bin
export rehearse planted repo_dir build_dir=$repo_dir/build-gpu programs=$repo_dir/build-gpu
if [ -n "$rehearse" ]; then
  programs=$repo_dir/tools/gpu_check/rehearsal
  PATH=$programs:$PATH
fi
gpu=${CUDA_VISIBLE_DEVICES:-0}
export gpu=${gpu%%,*}
query() { nvidia-smi -i "$gpu" --query-gpu="$1" --format=csv,noheader,nounits; }
gpu_name=$(query name 2>/dev/null) || die "gpu_check: no GPU found (nvidia-smi -i $gpu failed)"
export hopper=''
[ "$(query compute_cap)" != 9.0 ] || hopper=1
command -v nvcc >/dev/null || die "gpu_check: no nvcc found; install the CUDA toolkit or put it on the PATH"

[ -n "$deps" ] || [ ! -d "$repo_dir/deps" ] || deps=$repo_dir/deps
[ -z "$deps" ] || deps=$(realpath "$deps")
out=$(realpath -m "${out:-$repo_dir/runs/gpu_check}")
export deps out
mkdir -p "$out"

# What the stage found, in a line: the last one of its log that begins with "result: ".
finding() { sed -n 's/^result: //p' "$out/$1.log" | tail -n 1 | tr '|' ' '; }

passed=0 failed=0 skipped=0 table='' built=1
for stage in "${stages[@]}"; do
  limit=$((limits[$stage] * total / 530)) begin=$SECONDS status=0
  if [ "$stage" = build ]; then rm -f "$build_dir/commit"; fi
  [ "$limit" -le $((total - SECONDS)) ] || limit=$((total - SECONDS))
  if [ "$stage" = build ] && [ -n "$rehearse" ]; then limit=3600; fi
  rm -f "$out/$stage.md"
  if [ ! "$built" ]; then
    status=1
    echo "not started: the build failed" >"$out/$stage.log"
  elif [ "$limit" -gt 0 ]; then
    timeout --kill-after=5 "$limit" bash "$repo_dir/tools/gpu_check/$stage.sh" >"$out/$stage.log" 2>&1 || status=$?
  else
    status=124
    echo "not started: no time left" >"$out/$stage.log"
  fi
  found=$(finding "$stage")
  case $status in
    0) result=passed passed=$((passed + 1)) ;;
    77) result="not run" skipped=$((skipped + 1)) ;;
    *)
      result="**failed**" failed=$((failed + 1))
      case $status in
        124 | 137) found="not finished in $((limit > 0 ? limit : 0)) s" ;;
        *) found=$(tail -n 1 "$out/$stage.log" | tr '|' ' ' | cut -c 1-200) ;;
      esac
      ;;
  esac
  if [ "$stage" = build ] && [ "$status" != 0 ]; then built=; fi
  took=$((SECONDS - begin))
  say "$stage: ${result//\*/}, $took s${found:+: $found}"
  [ "$status" = 0 ] || [ "$status" = 77 ] || tail -n 20 "$out/$stage.log" | sed 's/^/   /'
  table+="| $stage | $result | $took | $found |"$'\n'
  if [ "$stage" = build ] && [ -n "$rehearse" ]; then SECONDS=0; fi
done

counts="$passed stages passed, $failed failed"
[ "$skipped" = 0 ] || counts+=", $skipped not run"
{
  printf '# GPU check%s: %s\n\n' "${rehearse:+, rehearsed on the simulated GPU}" "$counts"
  printf '%s: %s (compute capability %s, %s MiB), driver %s, CUDA %s, %s cores, commit %s\n\n' \
    "$(date -u '+%Y-%m-%d %H:%M UTC')" "$gpu_name" "$(query compute_cap)" "$(query memory.total)" \
    "$(query driver_version)" "$(nvcc --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')" "$(nproc)" \
    "$(cat "$build_dir/commit" 2>/dev/null || echo unknown)"
  printf '| stage | result | seconds | what it found |\n|---|---|---:|---|\n%s\n' "$table"
  printf 'details.md has the tables of the stages.\n'
} >"$out/summary.md"
{
  printf '# GPU check: details\n'
  for stage in "${stages[@]}"; do
    [ ! -s "$out/$stage.md" ] || printf '\n## %s\n\n%s\n' "${stage^}" "$(<"$out/$stage.md")"
  done
} >"$out/details.md"
say "summary: $out/summary.md"
printf 'gpu_check: %s\n' "$counts"
[ "$failed" = 0 ]
