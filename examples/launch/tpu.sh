#!/bin/bash
# Trains on all hosts of a TPU pod: bash examples/launch/tpu.sh NAME ZONE BUCKET_FOLDER
# The hosts share the folder of the run, for example a mounted bucket.
gcloud compute tpus tpu-vm ssh "$1" --zone "$2" --worker=all --command \
    "cd jaxgan && python examples/mnist.py --mesh --batch-size 1024 --epochs 500 --workdir '$3'"
