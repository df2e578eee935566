#!/bin/bash
# What follows the array of slurm-shard.sh: the shards' folders become one.
#SBATCH --job-name=odise-merge
#SBATCH --cpus-per-task=2
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --output=odise-merge-%j.log
set -euo pipefail

# Named one by one: a pattern would pass over a shard that is missing, and finds nothing in a bucket.
shards=()
for shard in $(seq "$SHARDS"); do shards+=("$OUT/shards/$shard"); done
odise merge "${shards[@]}" --out "$OUT/merged"
