#!/usr/bin/env bash
# Runs the benchmarks for a GPU in under 9 minutes, and writes one JSON file:
#
#     bash benchmarks/gpu.sh benchmarks/results/gpu.json
#     bash benchmarks/gpu.sh benchmarks/results/gpu.json dcgan scaling    # only these parts
#
# Needs jax with CUDA, flax, optax, orbax-checkpoint, numpy and matplotlib. torch is optional.
# The JSON file records parts that fail or exceed their time limit. The other parts still run.
# Parts that were not run keep their results in an existing JSON file.
set -uo pipefail
cd "$(dirname "$0")/.."

result=${1:-benchmarks/results/gpu.json}
shift || true
only=" $* " # all parts if empty
python=${PYTHON:-python}
parts=$(mktemp -d)
export JAX_PLATFORMS=${JAX_PLATFORMS:-cuda} # fails without a GPU instead of measuring the CPU
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
export XLA_PYTHON_CLIENT_PREALLOCATE=false # PyTorch needs memory too
export PYTHONUNBUFFERED=1 # keeps the log of a part that exceeds its time limit
TOTAL=530 # seconds of all parts
options=()
[ -n "${QUICK:-}" ] && options=(--quick) # a smoke test

# Reads the clock and the power while the parts run.
state=utilization.gpu,clocks.sm,clocks.mem,power.draw,temperature.gpu
nvidia-smi --query-gpu="$state" --format=csv,noheader,nounits -lms 500 \
    >> "$parts/load.csv" 2> /dev/null &
monitor=$!
trap 'kill "$monitor" 2> /dev/null; rm -rf "$parts"' EXIT

collect() { # writes what is known after each part, so that an interruption loses only one part
    "$python" - "$parts" "$result" << 'PYTHON'
import json, pathlib, statistics, subprocess, sys
from jaxgan import runs

parts, result = map(pathlib.Path, sys.argv[1:])
old = json.loads(result.read_text()) if result.exists() else {}
contents = {"command": ["bash", "benchmarks/gpu.sh", str(result)], "parts": {}} | old
done = [line.split("\t") for line in (parts / "status").read_text().splitlines()]
busy = [row for line in (parts / "load.csv").read_text().splitlines()
        if len(row := line.split(", ")) == 5 and row[0].isdigit() and int(row[0]) >= 50]
names = ("sm_clock_mhz", "memory_clock_mhz", "power_watts", "celsius")
name, code, seconds = done[-1]
path, log = parts / f"{name}.json", (parts / f"{name}.text").read_text().splitlines()
entry = {"exit_status": int(code), "seconds": int(seconds)}
entry |= json.loads(path.read_text()) if path.exists() else {"log": log[-20:]}
if "command" in entry:  # without the temporary file
    entry["command"] = entry["command"][: entry["command"].index("--json")]
entry["under_load"] = {"readings": len(busy)} | {
    name: statistics.median(float(row[i]) for row in busy) for i, name in enumerate(names, 1) if busy
}
contents["parts"][name] = entry
try:
    query = ["nvidia-smi", "--query-gpu=name,driver_version,power.limit", "--format=csv,noheader"]
    contents["gpu"] = subprocess.run(query, capture_output=True, text=True).stdout.strip()
except FileNotFoundError:
    contents["gpu"] = None
result.parent.mkdir(parents=True, exist_ok=True)
runs.write_json(result, contents, indent=2)
PYTHON
}

part() { # name, seconds, command
    local name=$1 limit=$2 start=$SECONDS rc=0
    if [ -n "${QUICK:-}" ]; then
        limit=600 # for a slow machine
    elif [ "$limit" -gt $((TOTAL - SECONDS)) ]; then
        limit=$((TOTAL - SECONDS > 0 ? TOTAL - SECONDS : 1))
    fi
    shift 2
    [ -z "${only// /}" ] || [[ $only == *" $name "* ]] || return
    echo "== $name: $*"
    timeout "$limit" "$python" "$@" "${options[@]}" --json "$parts/$name.json" \
        > "$parts/$name.log" 2>&1 || rc=$?
    # XLA repeats an error of the device for each buffer.
    grep -v -E '^[EWI][0-9]{4} |^=== |^external/|^$' "$parts/$name.log" > "$parts/$name.text"
    tail -n 40 "$parts/$name.text"
    printf '%s\t%s\t%s\n' "$name" "$rc" "$((SECONDS - start))" >> "$parts/status"
    collect
    : > "$parts/load.csv"
}

# The most important parts come first.
part step_time 150 benchmarks/step_time.py --compile --xla --no-tensorflow --rounds 5
part population 80 benchmarks/population.py --members 1 16 64 256 --steps 200 --rounds 3 --vmap-only
part whole_run 120 benchmarks/whole_run.py --xla --rounds 1
part dcgan 190 benchmarks/step_time.py --networks dcgan --image-size 32 --batch-size 256 \
    --dtype bfloat16 --images 25600 --rounds 5 --compile --no-tensorflow \
    --xla "concurrent graphs" "graphs with convolutions"
part sampling 40 benchmarks/sampling.py --rounds 3
part input_pipeline 40 benchmarks/input_pipeline.py --rounds 3
part scaling 120 benchmarks/scaling.py --rounds 3 --steps 50 --only batch width dataset

failed=$(awk -F '\t' '$2 != 0 { print $1 }' "$parts/status" | paste -sd ' ')
echo "written to $result${failed:+; failed: $failed}"
[ -z "$failed" ]
