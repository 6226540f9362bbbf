#!/usr/bin/env bash
# Fails if two files define a type of the same name in the same namespace. A program that contains both has undefined
# behaviour, and no linker reports it. Expects sources formatted by clang-format: a definition starts its line. Types in
# unnamed namespaces may share names. Sources of two folders of tests are separate programs and may share names.
#   tools/check_names.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cd "$repo_dir"
mapfile -t files < <(git ls-files '*.h' '*.cuh' && git ls-files '*.cpp' '*.cu' | grep -v ^tests/ && git ls-files 'tests/*.cpp')
awk '
  function scope(    i, path) { for (i = 1; i <= depth; i++) path = path names[i] "::"; return path }
  FNR == 1 {
    depth = 0
    program = ""  # everything except the source files of tests
    if (match(FILENAME, /^tests\/[^\/]*\//) && FILENAME ~ /\.cpp$/) program = substr(FILENAME, 1, RLENGTH)
  }
  /^namespace .*\{$/ { names[++depth] = $2 == "{" ? "unnamed" : $2; next }
  /^}  \/\/ namespace/ { depth--; next }
  /^(struct|class|union|enum|enum class) (alignas\(.*\) )?[A-Za-z_0-9]+( final)?( : .*)? *\{/ {
    type = $0
    sub(/^[a-z]+ (class )?(alignas\(.*\) )?/, "", type)
    sub(/[^A-Za-z_0-9].*/, "", type)
    if (scope() ~ /unnamed/) next
    type = scope() type
    other = (program, type) in seen ? seen[program, type] : seen["", type]
    if (other) { print FILENAME ":" FNR ": " other " defines " type " too; rename one of them"; bad = 1 }
    seen[program, type] = FILENAME
    types++
  }
  END {
    if (types < 100) { print "only " types + 0 " types were found: the search is broken"; bad = 1 }
    else if (!bad) print "== " types " types, no name defined twice"
    exit bad
  }' "${files[@]}"
