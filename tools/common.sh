# shellcheck shell=bash
# Shared by tools/*.sh: where the repository or the installation is, the packages that a build needs, and how to install
# them.
# Sourced, not run. Expects `set -euo pipefail`.

repo_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)  # in an installation: its folder share/gptmoe
is_installed() { [ ! -e "$repo_dir/CMakeLists.txt" ]; }

say() { printf '== %s\n' "$*"; }
die() {
  printf '%s\n' "$*" >&2
  exit 2
}

# read_options "NAME..." ARGUMENT...: sets each variable NAME, with _ in place of -, to the value of its option --NAME.
# Appends --set path=value to the array `overrides`. --help prints the comment at the top of the script.
read_options() {
  local known=" $1 " option
  shift
  while [ $# -gt 0 ]; do
    if [ "$1" = -h ] || [ "$1" = --help ]; then
      sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
      exit 0
    fi
    option=${1#--}
    [[ $1 == --* && $known == *" $option "* ]] || die "unknown argument $1; see $0 --help"
    [ $# -ge 2 ] || die "$1 needs a value"
    if [ "$option" = set ]; then overrides+=(--set "$2"); else printf -v "${option//-/_}" '%s' "$2"; fi
    shift 2
  done
}

# program NAME: prints the path of gptmoe or gptmoe-tokenize, which is built here or installed with these scripts.
program() {
  local path=$repo_dir/build/$1
  local missing="build/$1 is not built: cmake --preset release && cmake --build --preset release"
  if is_installed; then
    path=$(realpath -m "$repo_dir/../../bin/$1")
    missing="$path is not there; install gptmoe again, from a build that has $1"
  fi
  [ -x "$path" ] || die "$missing"
  printf '%s\n' "$path"
}

# lock_output PATH DOING: takes the lock that gptmoe takes for an output PATH. It is held until this script and all
# processes that it started have ended. If another process has the lock, ends the script with the message "PATH: another
# process DOING". Sets output_lock to the lock's file, which the script removes at its end.
lock_output() {
  local lock status=0
  output_lock=$1.gptmoe-lock
  mkdir -p "$(dirname "$1")"
  exec {lock}>>"$output_lock"
  flock -n "$lock" || status=$?  # 1: another process has it; other errors: the file system has no locks
  if [ "$status" = 1 ] || ! [ "$output_lock" -ef "/proc/self/fd/$lock" ]; then die "$1: another process $2"; fi
}

# install_packages NAME...: installs missing Debian packages. Without apt or without root, says what to install.
install_packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "This system has no apt-get. Install the contents of these Debian packages, then run again: ${missing[*]}"
  [ "$(id -u)" = 0 ] || die "Not root. Install these packages, then run again: sudo apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq || say "could not refresh the package lists; trying the existing ones"
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    die "Could not install ${missing[*]}. Install them by hand (are you offline?), then run again."
}

build_packages=(g++ cmake ninja-build nlohmann-json3-dev libcli11-dev
  zlib1g-dev libzstd-dev libsimdjson-dev libopenmpi-dev openmpi-bin)
test_packages=(libgtest-dev libopenblas-dev)

# install_build_tools PACKAGE...: installs missing packages. On a system without Debian packages, does nothing if cmake,
# ninja and g++ are present.
install_build_tools() {
  if ! command -v dpkg-query >/dev/null; then
    command -v cmake >/dev/null && command -v ninja >/dev/null && command -v g++ >/dev/null && return 0
  fi
  install_packages "$@"
}

# Sets nvcc to the CUDA compiler and makes CMake find it; empty if there is none.
find_nvcc() {
  nvcc=$(command -v nvcc || true)
  [ -n "$nvcc" ] || [ ! -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ] || nvcc=${CUDA_HOME:-/usr/local/cuda}/bin/nvcc
  [ -z "$nvcc" ] || export CUDACXX=${CUDACXX:-$nvcc}
}

# build PRESET [-DOPTION=VALUE...] TARGET...: configures if needed and builds.
build() {
  local preset=$1 options=()
  shift
  while [[ ${1:-} == -D* ]]; do
    options+=("$1")
    shift
  done
  (cd "$repo_dir" && cmake --preset "$preset" "${options[@]}" >/dev/null && cmake --build --preset "$preset" --target "$@")
}
