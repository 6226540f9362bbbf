#!/usr/bin/env bash
# From text to what a config's "data" names: a tokenizer, training shards and validation shards in one folder. The
# program gptmoe-tokenize must be built (tools/quickstart.sh builds it).
#
#   tools/prepare_text.sh --out data/NAME [--text FILE|DIR|PATTERN] [--val FILE|DIR|PATTERN] [--vocab-size N]
#
# Without --text the King James Bible is used (public domain; Debian's package bible-kjv prints it). A plain FILE is cut into
# documents of some pages at blank lines; a folder's or a pattern's plain files, and those of --val, are a document each.
# Else JSON lines with a field "text", also .gz and .zst. Without --val a twentieth of the documents validates. The tokenizer is byte-level BPE of 2,048 entries unless told otherwise.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

text= val= out= vocab_size=2048
while [ $# -gt 0 ]; do
  case $1 in
    --text | --val | --out | --vocab-size)
      [ $# -ge 2 ] || die "$1 needs a value"
      name=${1#--}
      printf -v "${name//-/_}" '%s' "$2"
      shift 2
      ;;
    -h | --help)
      sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) die "unknown argument $1; see tools/prepare_text.sh --help" ;;
  esac
done
[ -n "$out" ] || die "--out DIR: where to write tokenizer.json, train_*.bin and val_*.bin"
[ ! -e "$out" ] || die "$out is there already; remove it, or choose another --out"
tokenize=$repo_dir/build/gptmoe-tokenize
[ -x "$tokenize" ] || die "build/gptmoe-tokenize is not built: cmake --preset release && cmake --build --preset release"

# Written beside and moved into place when complete: an interrupted preparation is begun again.
rm -rf "$out.tmp"
mkdir -p "$out.tmp"
documents=$out.tmp/documents.jsonl
if [ -z "$text" ]; then
  command -v bible >/dev/null || install_packages bible-kjv
  say "printing the King James Bible"
  bible -f gen1:1-rev22:21 | "$repo_dir/tools/kjv_documents.sh" >"$documents"
elif [ -f "$text" ] && [[ $text != *.jsonl && $text != *.gz && $text != *.zst ]]; then
  "$repo_dir/tools/text_documents.sh" <"$text" >"$documents"
else
  documents=$text
fi
say "training a tokenizer of $vocab_size entries"
"$tokenize" train --input "$documents" --vocab-size "$vocab_size" --output "$out.tmp/tokenizer.json"
say "encoding"
encode=("$tokenize" encode --tokenizer "$out.tmp/tokenizer.json")
if [ -n "$val" ]; then
  "${encode[@]}" --input "$documents" --output "$out.tmp"
  "${encode[@]}" --input "$val" --output "$out.tmp/val"
  for shard in "$out.tmp"/val/train_*.bin; do mv "$shard" "$out.tmp/val_${shard##*train_}"; done
  rm -r "$out.tmp/val"
else
  "${encode[@]}" --input "$documents" --output "$out.tmp" --val-fraction 0.05
fi
mv "$out.tmp" "$out"
