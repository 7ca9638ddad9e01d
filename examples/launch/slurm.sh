#!/bin/bash
# Trains on several hosts with SLURM: sbatch examples/launch/slurm.sh
# Submit it from the clone. All hosts need the clone with its .venv, the data and WORKDIR.
# Two to three minutes before the time limit, SLURM signals all tasks. They complete the epoch, save
# and end with exit code 138 (128 + SIGUSR1). The job then starts again and continues the run.
#SBATCH --job-name=jaxgan
#SBATCH --nodes=2
#SBATCH --gpus-per-node=8
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append

workdir=${WORKDIR:-$HOME/jaxgan-mnist}
resume=$(test -e "$workdir/config.json" && echo --resume)

# All tasks of a host see all its GPUs, and JAX gives each task its own. If a task fails, JAX ends
# the others. SLURM must not, because after a signal some tasks end a moment before the others.
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=0 \
    .venv/bin/python examples/mnist.py --mesh --batch-size 1600 --epochs 500 \
    --workdir "$workdir" $resume
code=$?
if [ "$code" -eq 138 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
