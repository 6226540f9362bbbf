# shellcheck shell=bash
# Bash completion of gptmoe and gptmoe-tokenize. It reads the subcommands and options from the
# program's --help. `cmake --install` copies it to the folder of bash-completion; without that, source it.

# Print the options, or the subcommands, of the help text on standard input.
_gptmoe_options() { sed -nE 's/^  (-[^ {]+).*/\1/p' | tr , '\n'; }
_gptmoe_subcommands() { sed -nE '/^Subcommands:/,$ s/^  ([a-z]+) .*/\1/p'; }

# Prints the values that option $1 accepts, if the help lists them: --device TEXT:{auto,cpu,cuda}.
_gptmoe_values() { sed -nE "s/^  (-.,)?$1 [^ ]*\{([^}]*)\}.*/\2/p" | tr , '\n'; }

_gptmoe() {
  local current=$2 previous=$3 command=("$1") help all word words
  all=$("${command[@]}" --help 2>/dev/null </dev/null)
  help=$all
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    _gptmoe_subcommands <<<"$help" | grep -qxF -- "$word" || continue
    command+=("$word")
    help=$("${command[@]}" --help 2>/dev/null </dev/null)
  done
  if [[ $previous == --* ]] && words=$(_gptmoe_values "$previous" <<<"$help") && [ -n "$words" ]; then
    :
  elif [[ $current == -* ]]; then
    words=$(_gptmoe_options <<<"$help")
  elif [ "${command[1]:-}" = help ]; then
    words=$(_gptmoe_subcommands <<<"$all")
  else
    words=$(_gptmoe_subcommands <<<"$help")
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

# "-o default" completes file names where there are no other words.
complete -o default -F _gptmoe gptmoe gptmoe-tokenize
