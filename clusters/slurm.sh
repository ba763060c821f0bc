#!/bin/bash
# A sweep on SLURM: one Ray node on every node of the job, `raybert sweep` on the first. sbatch clusters/slurm.sh
# $HOME is taken to be on a file system that all nodes see, with raybert installed in ~/raybert-venv.
#SBATCH --job-name=raybert
#SBATCH --nodes=3
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
set -euo pipefail
export PATH="$HOME/raybert-venv/bin:$PATH" RAY_AUTH_MODE=token
ray get-auth-token --generate > /dev/null # ~/.ray/auth_token, once, on the shared home folder

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000)) # jobs of others may be on the same nodes

# Again after the time limit: sbatch this file again, and the sweep goes on where it was.
srun --ntasks="$SLURM_NNODES" ray symmetric-run --address "$head:$port" --min-nodes "$SLURM_NNODES" \
  --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --include-dashboard=false -- \
  raybert sweep sweeps/imdb.yaml --address "$head:$port" --output "$HOME/runs/imdb" &
trap 'kill -TERM $!; wait' TERM # trials save before the job's Ray ends
wait
