#!/bin/bash
# What follows the array of slurm-shard.sh: the shards' folders become one.
#SBATCH --job-name=odise-merge
#SBATCH --cpus-per-task=2
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --output=odise-merge-%j.log
set -euo pipefail

odise merge "$OUT"/shards/* --out "$OUT/merged"
