#!/bin/bash
# Trains on several hosts with SLURM: sbatch examples/launch/slurm.sh
# Two minutes before the time limit, SLURM signals the run. The run saves and ends with exit code
# 138 (128 + SIGUSR1), and the job starts again, with --resume.
#SBATCH --job-name=jaxgan
#SBATCH --nodes=2
#SBATCH --gpus-per-node=8
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append

# All tasks of a host see all its GPUs, and JAX gives each task its own.
srun --kill-on-bad-exit=1 python examples/mnist.py --mesh --batch-size 1600 --epochs 500 \
    --workdir "${WORKDIR:-$HOME/jaxgan-mnist}" ${SLURM_RESTART_COUNT:+--resume}
code=$?
if [ "$code" -eq 138 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
