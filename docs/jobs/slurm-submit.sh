#!/bin/bash
# Submit a run of three shards and their merge:
#   IMAGES=/data/photos VOCAB=ade150 OUT=/data/preds docs/jobs/slurm-submit.sh
set -euo pipefail
: "${IMAGES:?}" "${VOCAB:?}" "${OUT:?}"
cd "$(dirname "$0")"
export IMAGES VOCAB OUT MODEL="${MODEL:-label}" SHARDS="${SHARDS:-3}"

array=$(sbatch --parsable --array="1-$SHARDS" slurm-shard.sh)
sbatch --dependency="afterok:${array%%;*}" slurm-merge.sh
