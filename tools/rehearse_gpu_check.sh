#!/usr/bin/env bash
# Rehearses tools/gpu_check.sh in a Debian of its own in DIR that has a compiler, CMake and python3, but no other
# packages and no network; CUDA's toolkit comes from this machine. First, every stage must pass on the simulated GPU.
# Then each stage in turn meets a fault, which it must find. Needs root, debootstrap, CUDA and, for the stage pytorch,
# the site-packages folder of a python3 of the same version with PyTorch.
#
#   tools/rehearse_gpu_check.sh DIR [--torch SITE_PACKAGES] [--no-faults]
#
# DIR/debian is made if it is not there yet. The results are in DIR/result.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1:-} in
  '' | -*) die "usage: tools/rehearse_gpu_check.sh DIR [--torch SITE_PACKAGES] [--no-faults]" ;;
esac
mkdir -p "$1"
dir=$(realpath "$1") torch='' faults=1
shift
while [ $# -gt 0 ]; do
  case $1 in
    --torch) torch=$(realpath "${2:?}") && shift 2 ;;
    --no-faults) faults='' && shift ;;
    *) die "unknown argument $1" ;;
  esac
done
find_nvcc
[ -n "$nvcc" ] || die "CUDA's nvcc was not found"
export root=$dir/debian torch cuda
cuda=$(realpath "$(dirname "$nvcc")/..")

if [ ! -e "$root/usr/bin/cmake" ]; then
  install_packages debootstrap
  say "making a Debian in $root"
  rm -rf "$root"
  debootstrap --variant=minbase --include=g++,make,cmake,python3 bookworm "$root" >"$dir/debootstrap.log"
fi
"$repo_dir/tools/pack_dependencies.sh" "$dir/deps"
# The build folder of an earlier rehearsal stays.
mkdir -p "$root/gptmoe"
find "$root/gptmoe" -mindepth 1 -maxdepth 1 ! -name 'build-gpu*' -exec rm -rf {} +
git -C "$repo_dir" ls-files -z | tar -C "$repo_dir" --null -T - -c | tar -x -C "$root/gptmoe"
cp -r "$dir/deps" "$root/gptmoe/deps"

# inside COMMAND...: runs it in that Debian, in namespaces without network.
inside() {
  # shellcheck disable=SC2016  # expanded by the inner shell
  unshare --mount --net --pid --fork bash -euc '
    mkdir -p "$root/usr/local/cuda" "$root/torch"
    mount --rbind "$cuda" "$root/usr/local/cuda"
    [ -z "$torch" ] || mount --bind "$torch" "$root/torch"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    exec chroot "$root" env -i HOME=/root LANG=C.UTF-8 PATH=/usr/bin:/bin PYTHONPATH=/torch "$@"' _ "$@"
}
result=$dir/result
rm -rf "$result"
mkdir -p "$result"
check() { inside bash /gptmoe/tools/gpu_check.sh --rehearse "$@"; }

say "all stages, without faults"
status=0
check --out /gptmoe/result || status=$?
cp -r "$root/gptmoe/result/." "$result"
[ "$status" = 0 ] || die "the check failed: $result/summary.md"
[ -n "$faults" ] || exit 0

missed=''
for stage in build probes tests ops steps pytorch sanitize curves repeat ranks; do
  [ "$stage" != pytorch ] || [ -n "$torch" ] || continue
  # Another stage must still run, unless nothing is built.
  others=ranks
  [ "$stage" != ranks ] || others=ops
  say "a fault in $stage"
  status=0
  check --plant "$stage" --only "$stage,$others" --out /gptmoe/fault >"$result/fault_$stage.log" 2>&1 || status=$?
  sed -n 's/^== /   /p' "$result/fault_$stage.log"
  expected="1 stages passed, 1 failed"
  [ "$stage" != build ] || expected="0 stages passed, 2 failed"
  [ "$status" = 1 ] && grep -q "^== $stage: failed" "$result/fault_$stage.log" &&
    [ "$(tail -n 1 "$result/fault_$stage.log")" = "gpu_check: $expected" ] || missed+=" $stage"
done
[ -z "$missed" ] || die "faults were not found in:$missed"
say "rehearsed: every stage passed, and found its fault"
