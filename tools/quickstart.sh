#!/usr/bin/env bash
# From nothing to two perplexity curves: installs missing packages, builds, gets real text, trains a tokenizer, writes
# token shards, trains the TopK and the Default MoE of configs/quickstart and compares them. Installed with gptmoe, it
# builds nothing, and writes below the current folder.
#
#   tools/quickstart.sh [--text FILE|DIR] [--steps N] [--seeds N] [--out DIR]
#
# Without --text it uses the King James Bible (public domain; printed by Debian's package bible-kjv). FILE is text or
# JSON lines with a field "text" (.jsonl, .ndjson, .json); DIR holds such files and .txt. Both may be .gz or .zst.
# Existing results (build, tokenizer, shards, finished runs) are reused.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

text= steps= seeds=1 out=
read_options "text steps seeds out" "$@"
for number in "steps=$steps" "seeds=$seeds"; do
  [[ ${number#*=} =~ ^([1-9][0-9]*)?$ ]] || die "--${number%%=*} ${number#*=}: give a whole number above 0"
done
if [ -n "$text" ]; then
  [ -e "$text" ] || die "--text $text: no such file or folder"
  text=$(realpath "$text")
fi
[ -z "$out" ] || out=$(realpath -m "$out")

build_programs() {
  install_build_tools "${build_packages[@]}"
  # Builds the CUDA backend if there is a GPU; "device": "auto" then uses the GPU.
  find_nvcc
  local cuda_options=()
  if [ -n "$nvcc" ] && { nvidia-smi -L || [ -e /dev/nvidia0 ]; } &>/dev/null; then
    cuda_options=(-DGPTMOE_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=native)
  elif [ ! -e "$repo_dir/build/CMakeCache.txt" ]; then  # an existing build keeps its settings
    cuda_options=(-DGPTMOE_CUDA=OFF)
  fi
  say "building"
  build release "${cuda_options[@]}" gptmoe gptmoe-tokenize
}

tools=$repo_dir/tools configs=$repo_dir/configs
if ! is_installed; then
  build_programs
  cd "$repo_dir"
  tools=tools configs=configs
fi
gptmoe=$(program gptmoe)

# The name of the folder depends on the text and its content, so a new text never uses an old tokenizer or old runs.
if [ -n "$text" ]; then
  if [ -d "$text" ]; then
    content=$(find "$text" -mindepth 1 -name '.*' -prune -o -type f -printf '%P %s %T@\n' | sort | cksum)
  else
    content=$(cksum <"$text")
  fi
  name=quickstart-$(basename "$text" | tr -c 'A-Za-z0-9\n' _)-${content%% *}
else
  name=quickstart
fi
data=data/$name out=${out:-runs/$name}

if [ ! -d "$data" ]; then "$tools/prepare_text.sh" --out "$data" ${text:+--text "$text"}; fi

overrides=(--set "data.train=$data/train_*.bin" --set "data.val=$data/val_*.bin" --set "data.tokenizer=$data/tokenizer.json")
if [ -n "$steps" ]; then overrides+=(--set "train.steps=$steps"); fi
if [ -n "$steps" ] && [ "$steps" -lt 100 ]; then overrides+=(--set "schedule.warmup_steps=$((steps / 10))"); fi
say "training both routers"
exec "$gptmoe" compare "$configs/quickstart/topk.json" "$configs/quickstart/default.json" \
  --seeds "$seeds" --out "$out" "${overrides[@]}"
