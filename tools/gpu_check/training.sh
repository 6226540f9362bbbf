# shellcheck shell=bash
# Sourced by the stages that train. They train configs/quickstart/default.json, on data/quickstart if it exists, else on
# generated tokens.
: "${repo_dir:?}" "${programs:?}" "${out:?}"

report=$repo_dir/tools/gpu_check/report.py
data=$repo_dir/data/quickstart
if ! compgen -G "$data/train_*.bin" >/dev/null; then
  data=$out/data
  [ -d "$data" ] || python3 "$report" tokens "$data"
fi

# train_run NAME STEPS DEVICE PRECISION [OVERRIDE ...]: a run in $out/NAME.
train_run() {
  local run=$out/$1 steps=$2 device=$3 precision=$4 override
  local arguments=(--set "data.train=$data/train_*.bin" --set "data.val=$data/val_*.bin" --set "train.steps=$steps"
    --set "train.eval_every=0" --set "schedule.warmup_steps=20" --set "checkpoint.every=0"
    --set "device=$device" --set "precision=$precision")
  shift 4
  for override in "$@"; do arguments+=(--set "$override"); done
  rm -rf "$run"
  "$programs/gptmoe" train "$repo_dir/configs/quickstart/default.json" --out "$run" "${arguments[@]}"
}
