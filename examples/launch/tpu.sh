#!/bin/bash
# Trains on all hosts of a TPU pod: bash examples/launch/tpu.sh NAME ZONE HOSTS FOLDER
# HOSTS is the number of hosts, for example 4 for a v4-32. Each host needs a clone in ~/jaxgan, with
# jaxgan and jax[tpu] in .venv. All hosts share FOLDER on a network file system, such as Filestore. A
# mounted bucket is not enough, because it does not rename folders atomically. The same command
# continues the run.
gcloud compute tpus tpu-vm ssh "$1" --zone "$2" --worker=all --command \
    "cd jaxgan && JAX_NUM_PROCESSES=$3 .venv/bin/python examples/mnist.py --mesh --batch-size 1024 \
    --epochs 500 --workdir '$4' \$(test -e '$4/config.json' && echo --resume)"
