#!/bin/bash
# One shard of a run: `odise segment` as a Slurm array. Submitted by slurm-submit.sh.
#SBATCH --job-name=odise
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=24:00:00
#SBATCH --output=odise-%A_%a.log
#SBATCH --open-mode=append
# Two minutes before the time is up odise is told to finish the batch in hand.
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -euo pipefail

# The number of shards is said, not read from SLURM_ARRAY_TASK_COUNT: a task that is submitted
# again by itself (--array=7) would take its one task for the whole list.
code=0
srun odise segment "$IMAGES" --vocab "$VOCAB" --model "$MODEL" \
    --shard "$SLURM_ARRAY_TASK_ID/$SHARDS" --out "$OUT/shards/$SLURM_ARRAY_TASK_ID" || code=$?

case $code in
    0 | 3) ;; # 3: some images failed; `odise merge` lists them
    75 | 143) scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" ;;
    *) exit "$code" ;;
esac
