#!/usr/bin/env bash
# Copies the parts of Debian's development packages that a build needs into a folder of a few MiB, for a system without
# packages or network: nlohmann/json and CLI11 (headers) and GoogleTest (sources). On that system, use cmake
# -DGPTMOE_DEPS_DIR=DIR or the environment variable GPTMOE_DEPS_DIR.
#   tools/pack_dependencies.sh DIR
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1:-} in
  '' | -*) die "usage: tools/pack_dependencies.sh DIR" ;;
esac
headers=/usr/include googletest=/usr/src/googletest/googletest
for needed in $headers/nlohmann/json.hpp $headers/CLI/CLI.hpp $googletest/CMakeLists.txt; do
  [ -e "$needed" ] || install_packages nlohmann-json3-dev libcli11-dev libgtest-dev
done

mkdir -p "$1/include" "$1/googletest"
cp -r $headers/nlohmann $headers/CLI "$1/include/"
cp -r $googletest/{CMakeLists.txt,cmake,include,src} "$1/googletest/"
say "$1 holds $(du -sh "$1" | cut -f1)"
