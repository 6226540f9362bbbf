#!/usr/bin/env bash
# From nothing to two perplexity curves: installs what is missing, builds, takes real text, trains a tokenizer, writes
# token shards, trains the TopK and the Default MoE of configs/quickstart and compares them.
#
#   tools/quickstart.sh [--text FILE|DIR] [--steps N] [--seeds N] [--out DIR]
#
# Without --text the King James Bible is used (public domain; Debian's package bible-kjv prints it). What is done
# already (build, tokenizer, shards, finished runs) is not done again.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

text= steps= seeds=1 out=
while [ $# -gt 0 ]; do
  case $1 in
    --text | --steps | --seeds | --out)
      [ $# -ge 2 ] || die "$1 needs a value"
      printf -v "${1#--}" '%s' "$2"
      shift 2
      ;;
    -h | --help)
      sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) die "unknown argument $1; usage: tools/quickstart.sh [--text FILE|DIR] [--steps N] [--seeds N] [--out DIR]" ;;
  esac
done
if [ -n "$text" ]; then
  [ -e "$text" ] || die "--text $text: no such file or folder"
  text=$(realpath "$text")
fi
[ -z "$out" ] || out=$(realpath -m "$out")

install_build_tools "${build_packages[@]}"
say "building"
cd "$repo_dir"
cmake --preset release -G Ninja >/dev/null
cmake --build --preset release --target gptmoe gptmoe-tokenize

# One folder per text, so that another text never meets an old tokenizer or old runs.
if [ -n "$text" ]; then
  name=$(basename "$text" | tr -c 'A-Za-z0-9\n' _)-$(printf '%s' "$text" | cksum | cut -d' ' -f1)
  data=data/quickstart-$name out=${out:-runs/quickstart-$name}
else
  data=data/quickstart out=${out:-runs/quickstart}
fi
mkdir -p "$data"

if [ -z "$text" ]; then
  text=$data/kjv.jsonl
  if [ ! -s "$text" ]; then
    command -v bible >/dev/null || install_packages bible-kjv
    say "printing the King James Bible"
    bible -f gen1:1-rev22:21 | tools/kjv_documents.sh >"$text.tmp"
    mv "$text.tmp" "$text"
  fi
fi

if [ ! -s "$data/tokenizer.json" ]; then
  say "training a tokenizer of 2,048 entries"
  build/gptmoe-tokenize train --input "$text" --vocab-size 2048 --output "$data/tokenizer.json"
fi
if ! compgen -G "$data/train_*.bin" >/dev/null; then
  say "encoding"
  build/gptmoe-tokenize encode --tokenizer "$data/tokenizer.json" --input "$text" --output "$data" --val-fraction 0.05
fi

overrides=(--set "data.train=$data/train_*.bin" --set "data.val=$data/val_*.bin" --set "data.tokenizer=$data/tokenizer.json")
if [ -n "$steps" ]; then overrides+=(--set "train.steps=$steps"); fi
if [ -n "$steps" ] && [ "$steps" -lt 100 ]; then overrides+=(--set "schedule.warmup_steps=$((steps / 10))"); fi
say "training both routers"
exec build/gptmoe compare configs/quickstart/topk.json configs/quickstart/default.json \
  --seeds "$seeds" --out "$out" "${overrides[@]}"
