#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: builds, tests and measures the CUDA backend in less than nine minutes, and writes a
# Markdown summary. docs/gpu.md explains the stages.
#
#   tools/gpu_check.sh [--only STAGE,...] [--summary FILE] [--deps DIR] [--limit SECONDS]
#
# Stages: build, probes, tests, ranks, sanitize, repeat, curves, ops, steps, pytorch. If a stage other than the first
# fails, the others still run. The summary goes to runs/gpu_check/summary.md, logs beside it. The script needs CUDA's
# nvcc, CMake, a C++ compiler and python3 (the last stage also PyTorch), but no network and no packages: if
# nlohmann/json, CLI11 and GoogleTest are missing, run `tools/pack_dependencies.sh deps` on a machine that has them and
# copy the folder here as deps/, or name it with --deps DIR.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

all_stages=(build probes tests ranks sanitize repeat curves ops steps pytorch)
# Seconds that a stage may take.
declare -A limits=([build]=270 [probes]=90 [tests]=120 [ranks]=60 [sanitize]=120 [repeat]=60 [curves]=120 [ops]=120
  [steps]=200 [pytorch]=200)

stages=("${all_stages[@]}") summary='' deps=${GPTMOE_DEPS_DIR:-} total=530
while [ $# -gt 0 ]; do
  case $1 in
    --only | --summary | --deps | --limit)
      [ $# -ge 2 ] || die "$1 needs a value"
      case $1 in
        --only) IFS=, read -r -a stages <<<"$2" ;;
        --summary) summary=$(realpath -m "$2") ;;
        --deps) deps=$2 ;;
        --limit) total=$2 ;;
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

PATH=$PATH:/usr/local/cuda/bin
gpu=${CUDA_VISIBLE_DEVICES:-0}
export gpu=${gpu%%,*}
query() { nvidia-smi -i "$gpu" --query-gpu="$1" --format=csv,noheader,nounits; }
gpu_name=$(query name 2>/dev/null) || die "gpu_check: no GPU found (nvidia-smi -i $gpu failed)"
export hopper=''
[ "$(query compute_cap)" != 9.0 ] || hopper=1
command -v nvcc >/dev/null || die "gpu_check: no nvcc found; install the CUDA toolkit or put it on the PATH"

[ -n "$deps" ] || [ ! -d "$repo_dir/deps" ] || deps=$repo_dir/deps
[ -z "$deps" ] || deps=$(realpath "$deps")
export deps repo_dir build_dir=$repo_dir/build-gpu out=$repo_dir/runs/gpu_check
summary=${summary:-$out/summary.md}
mkdir -p "$out" "$(dirname "$summary")"

passed=0 failed=0 table='' built=1
for stage in "${stages[@]}"; do
  limit=${limits[$stage]} begin=$SECONDS status=0
  if [ "$stage" = build ]; then rm -f "$build_dir/commit"; fi
  [ "$limit" -le $((total - SECONDS)) ] || limit=$((total - SECONDS))
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
  case $status in
    0) result=passed passed=$((passed + 1)) ;;
    124 | 137) result="failed: not finished in $((limit > 0 ? limit : 0)) s" failed=$((failed + 1)) ;;
    *) result="failed: $(tail -n 1 "$out/$stage.log" | tr '|' ' ' | cut -c 1-200)" failed=$((failed + 1)) ;;
  esac
  if [ "$stage" = build ] && [ "$status" != 0 ]; then built=; fi
  say "$stage: $result, $((SECONDS - begin)) s"
  [ "$status" = 0 ] || tail -n 20 "$out/$stage.log" | sed 's/^/   /'
  table+="| $stage | $result | $((SECONDS - begin)) |"$'\n'
done

{
  printf '# GPU check: %s stages passed, %s failed\n\n' "$passed" "$failed"
  printf '%s: %s (compute capability %s, %s MiB), driver %s, CUDA %s, %s cores, commit %s\n\n' \
    "$(date -u '+%Y-%m-%d %H:%M UTC')" "$gpu_name" "$(query compute_cap)" "$(query memory.total)" \
    "$(query driver_version)" "$(nvcc --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')" "$(nproc)" \
    "$(cat "$build_dir/commit" 2>/dev/null || echo unknown)"
  printf '| stage | result | seconds |\n|---|---|---:|\n%s' "$table"
  for stage in "${stages[@]}"; do
    [ ! -s "$out/$stage.md" ] || printf '\n## %s\n\n%s\n' "${stage^}" "$(<"$out/$stage.md")"
  done
} >"$summary"
say "summary: $summary"
printf 'gpu_check: %d stages passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
