#!/usr/bin/env bash
# Checks the machine code of the kernels in a build with CUDA against tools/kernel_instructions.txt: the widths of loads
# and stores, tensor-core instructions, exact divisions, and local memory, which only listed kernels may use. Needs
# cuobjdump and nvdisasm, on PATH or beside nvcc; says so if they are missing. (Builds configured with
# -DGPTMOE_STRICT_KERNELS=ON fail on spills by themselves.)
#   tools/check_kernels.sh [--table] [BUILD_DIR]    --table: prints the registers per thread as Markdown instead
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

table=
if [ "${1:-}" = --table ]; then table=1 && shift; fi
build_dir=${1:-$repo_dir/build}
library=$build_dir/libgptmoe_kernels_cuda.a
[ -e "$library" ] || die "$library: not found; build with -DGPTMOE_CUDA=ON, or name the build's folder"

find_nvcc
[ -z "$nvcc" ] || PATH=$PATH:$(dirname "$(readlink -f "$nvcc")")
if ! command -v cuobjdump >/dev/null || ! command -v nvdisasm >/dev/null; then
  say "no disassembler (cuobjdump, nvdisasm): SASS not checked"
  exit 0
fi

# Kernel names without namespaces, parameters and spaces: rows_kernel<TensorTile,bf16,0>.
short_names() {
  c++filt | sed -E 's/\(anonymous namespace\):://g; s/\(gptmoe::[A-Za-z:]*\)//g; s/gptmoe::(cuda::)?//g
                    s/__nv_bfloat16/bf16/g; s/\bvoid //; s/\(.*//; s/([,<>]) +/\1/g'
}

# One line per kernel: "ARCH REGISTERS STACK SHARED LOCAL NAME".
resources() {
  cuobjdump --dump-resource-usage "$library" | awk '
    /^arch = / { arch = $3 }
    $1 == "Function" { name = substr($2, 1, length($2) - 1) }
    $1 ~ /^REG:/ { split($1 $2 $3 $4, n, /[A-Z]+:/); print arch, n[2], n[3], n[4], n[5], name }' | short_names
}

# One line per kernel: "ARCH,INSTRUCTION,INSTRUCTION,... NAME", each instruction once.
instructions() {
  cuobjdump -sass "$library" | awk '
    function flush() { if (name) print arch list, name; list = ""; delete seen }
    /^[\t ]*code for / { flush(); name = ""; arch = $3 }
    $1 == "Function" { flush(); name = $3 }
    $1 ~ /^\/\*[0-9a-f]+\*\/$/ {
      word = $2 ~ /^@/ ? $3 : $2
      gsub(/\.(CONSTANT|STRONG|GPU|SYS|EF|EL|LU|LTC[0-9A-Z]*)/, "", word)  # modifiers for caches
      if (word ~ /^[A-Z]/ && !(word in seen)) { seen[word]; list = list "," word }
    }
    END { flush() }' | short_names
}

if [ "$table" ]; then
  resources | awk '
    {
      arch[$1]; kernel = $6; sub(/<.*/, "", kernel); key = kernel SUBSEP $1; kernels[kernel]
      if (!(key in low) || $2 < low[key]) low[key] = $2
      if ($2 > high[key]) high[key] = $2
      count[key]++
    }
    END {
      header = "| kernel | variants |"; line = "|---|---|"
      n = 0; for (a in arch) names[++n] = a
      for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (names[j] < names[i]) { t = names[i]; names[i] = names[j]; names[j] = t }
      for (i = 1; i <= n; i++) { header = header " registers, " names[i] " |"; line = line "---|" }
      print header "\n" line
      fflush()
      for (k in kernels) {
        row = "| " k " | " count[k, names[1]] " |"
        for (i = 1; i <= n; i++) { key = k SUBSEP names[i]; row = row " " (low[key] == high[key] ? low[key] : low[key] "–" high[key]) " |" }
        print row | "sort"
      }
    }'
  exit 0
fi

instructions_file=$(mktemp)
trap 'rm -f "$instructions_file"' EXIT
instructions >"$instructions_file"
{ resources | sed 's/^/R /' && sed 's/^/I /' "$instructions_file"; } |
  awk -v rules="$repo_dir/tools/kernel_instructions.txt" '
    function complain(what) { print what; bad = 1 }
    function allows(name, what,    i) {
      for (i = 1; i <= n; i++) if (name ~ pattern[i] && conditions[i] ~ ("(^| )" what "( |$)")) return 1
      return 0
    }
    BEGIN {
      while ((getline line < rules) > 0) {
        if (line ~ /^#/ || line ~ /^ *$/) continue
        split(line, words, / +/); pattern[++n] = "^" words[1]
        conditions[n] = line; sub(/^[^ ]+ +/, "", conditions[n])
      }
    }
    $1 == "R" && $4 + $6 > 0 && !allows($7, "local") { complain($2 " " $7 ": " $4 + $6 " bytes of local memory") }
    $1 == "I" {
      arch = $2; sub(/,.*/, "", arch); list = substr($2, length(arch) + 1) ","; archs[arch]; checked++; known = 0
      if (list ~ /,FCHK,/ && !allows($3, "division")) complain(arch " " $3 ": exact division (FCHK)")
      for (i = 1; i <= n; i++) {
        if ($3 !~ pattern[i]) continue
        known = met[i, arch] = 1
        if (conditions[i] ~ /(^| )sm_/ && conditions[i] !~ ("(^| )" arch "( |$)")) continue
        m = split(conditions[i], each, / +/)
        for (j = 1; j <= m; j++) {
          if (each[j] ~ /^(-|local|division|sm_.*)$/) continue
          mnemonic = each[j]; gsub(/\./, "\\.", mnemonic)
          if (sub(/^!/, "", mnemonic) ? list ~ (",(" mnemonic "),") : list !~ (",(" mnemonic ")"))
            complain(arch " " $3 ": " (each[j] ~ /^!/ ? "has " substr(each[j], 2) : "no " each[j]))
        }
      }
      if (!known) complain(arch " " $3 ": has no line in " rules)
    }
    END {
      for (a in archs) for (i = 1; i <= n; i++) if (!((i, a) in met)) complain(a ": no kernel is called " substr(pattern[i], 2))
      if (!checked) complain("no kernel was found")
      if (!bad) print "== " checked " kernels have the instructions that tools/kernel_instructions.txt asks for"
      exit bad
    }'
