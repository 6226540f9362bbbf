#!/usr/bin/env bash
#SBATCH --job-name=gptmoe --requeue --open-mode=append
#SBATCH --signal=USR1@120
# Trains a run under SLURM across time limits: two minutes before the limit the ranks save and stop, and the job is
# queued again. Each start continues the run. Submit it from the repository:
#   sbatch --nodes=8 --ntasks-per-node=8 --gpus-per-node=8 --cpus-per-task=12 --time=24:00:00 \
#     tools/slurm_train.sh CONFIG RUN [options of gptmoe train]
# SRUN_OPTIONS holds options of srun (default: --mpi=pmix), GPTMOE the program (default: build/gptmoe, or else the
# installed one).
set -uo pipefail
if [ $# -lt 2 ]; then
  echo "usage: sbatch [options] tools/slurm_train.sh CONFIG RUN [options of gptmoe train]" >&2
  exit 2
fi
config=$1 run=$2
shift 2
program=${GPTMOE:-build/gptmoe}
if [ -z "${GPTMOE:-}" ] && [ ! -e "$program" ]; then program=gptmoe; fi
resume=()
[ ! -e "$run/config.json" ] || resume=(--resume --restart)
# shellcheck disable=SC2086  # several options
srun --kill-on-bad-exit=1 ${SRUN_OPTIONS---mpi=pmix} "$program" train "$config" --out "$run" \
  "${resume[@]}" "$@"
code=$?
readonly stopped_by_usr1=138  # 128 + SIGUSR1: the run has saved
if [ "$code" = "$stopped_by_usr1" ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
