#!/usr/bin/env bash
# Turns text into the files that a config's "data" names: a tokenizer, training shards and validation shards in one
# folder. Needs gptmoe-tokenize (tools/quickstart.sh builds it).
#
#   tools/prepare_text.sh --out data/NAME [--text FILE|DIR|PATTERN] [--val FILE|DIR|PATTERN] [--vocab-size N]
#
# Without --text it uses the King James Bible (public domain; printed by Debian's package bible-kjv). A plain FILE is
# split into documents of a few pages at blank lines, whatever its line endings. Plain files in a folder, from a pattern
# or in --val are one document each. Files that end in .jsonl, .ndjson or .json hold JSON lines with a field "text".
# Both kinds may be compressed (.gz, .zst). Without --val, a twentieth of the documents is held out for validation. The
# tokenizer is byte-level BPE with 2,048 entries by default.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

text= val= out= vocab_size=2048
read_options "text val out vocab-size" "$@"
[ -n "$out" ] || die "give --out DIR, where to write tokenizer.json, train_*.bin and val_*.bin"
out=${out%/}
for name in "$text" "$val"; do
  case ${name,,} in
    *.parquet | *.arrow | *.feather) die "$name: a table, not text; convert it with tools/parquet_to_jsonl.py" ;;
    *.csv | *.tsv | *.avro | *.orc | *.pdf | *.docx | *.epub | *.npy | *.bin | *.idx | *.warc | *.tfrecord)
      die "$name: not text or JSON lines; convert it to .txt or .jsonl"
      ;;
    *.zip | *.tar | *.tar.* | *.tgz | *.7z | *.rar | *.bz2 | *.xz | *.lz4)
      die "$name: not text or JSON lines; unpack it, or pack it with gzip or zstd instead"
      ;;
  esac
done
[ -z "$val" ] || ! [ "$text" -ef "$val" ] || die "$val: the same file for --text and --val; name it once"
tokenize=$(program gptmoe-tokenize)
[ -n "$text" ] || command -v bible >/dev/null || install_packages bible-kjv

lock_output "$out" "is preparing text there; wait for it or choose another --out"
trap 'rm -f "$output_lock"' EXIT
[ ! -e "$out" ] || die "$out exists already; remove it, or choose another --out"
# Writes to a temporary folder that is renamed when complete, so an interrupted preparation starts over.
rm -rf "$out.tmp"
mkdir -p "$out.tmp"
documents=$out.tmp/documents.jsonl
if [ -z "$text" ]; then
  say "printing the King James Bible"
  bible -f gen1:1-rev22:21 | "$repo_dir/tools/kjv_documents.sh" >"$documents"
elif [ -f "$text" ] && [[ ${text,,} != *.@(jsonl|ndjson|json|gz|zst) ]]; then
  "$repo_dir/tools/text_documents.sh" <"$text" >"$documents"
else
  documents=$text
fi
say "training a tokenizer of $vocab_size entries"
"$tokenize" train --input "$documents" --vocab-size "$vocab_size" --output "$out.tmp/tokenizer.json"
say "encoding"
encode=("$tokenize" encode --tokenizer "$out.tmp/tokenizer.json")
if [ -n "$val" ]; then
  "${encode[@]}" --input "$documents" --val "$val" --output "$out.tmp"
else
  # If there are too few documents to split, the tool advises an option that this script lacks, so its messages are held
  # back. They include the progress line, which only a large text needs.
  errors=$out.tmp/errors
  { [ -e "$documents" ] && [ "$(du -sb "$documents" | cut -f1)" -lt 20000000 ]; } || errors=/dev/stderr
  "${encode[@]}" --input "$documents" --output "$out.tmp" --val-fraction 0.05 2>>"$errors" || {
    [ "$errors" != /dev/stderr ] || exit 2
    ! grep -q -- --val-fraction "$errors" ||
      die "${text:-the text}: too few documents to hold out a twentieth for validation; give a longer text, or text for validation with --val"
    cat "$errors" >&2
    exit 2
  }
  rm -f "$out.tmp/errors"
fi
mv -T "$out.tmp" "$out"
