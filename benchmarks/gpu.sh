#!/usr/bin/env bash
# Runs the benchmarks for a GPU in under 9 minutes, and writes one JSON file:
#
#     bash benchmarks/gpu.sh benchmarks/results/gpu.json
#
# Needs jax with CUDA, flax, optax, orbax-checkpoint, numpy and matplotlib. torch is optional.
# The JSON file records parts that fail or exceed their time limit. The other parts still run.
set -uo pipefail
cd "$(dirname "$0")/.."

result=${1:-benchmarks/results/gpu.json}
python=${PYTHON:-python}
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
export XLA_PYTHON_CLIENT_PREALLOCATE=false # torch runs in the same process
options=()
[ -n "${QUICK:-}" ] && options=(--quick) # a smoke test

part() { # name, seconds, command
    local name=$1 limit=$2 start=$SECONDS rc=0
    shift 2
    echo "== $name: $*"
    timeout "$limit" "$python" "$@" "${options[@]}" --json "$parts/$name.json" \
        > "$parts/$name.log" 2>&1 || rc=$?
    tail -n 40 "$parts/$name.log"
    printf '%s\t%s\t%s\n' "$name" "$rc" "$((SECONDS - start))" >> "$parts/status"
}

# The most important parts come first.
part whole_run 60 benchmarks/whole_run.py
part step_time 110 benchmarks/step_time.py --compile --no-tensorflow --rounds 5
part population 90 benchmarks/population.py
part dcgan 110 benchmarks/step_time.py --networks dcgan --image-size 32 --batch-size 256 \
    --dtype bfloat16 --images 25600 --rounds 5 --compile --no-tensorflow
XLA_FLAGS="${XLA_FLAGS:-} --xla_gpu_enable_command_buffer=+WHILE" \
    part whole_run_command_buffer_while 50 benchmarks/whole_run.py
part scaling 50 benchmarks/scaling.py --rounds 3
part sampling 30 benchmarks/sampling.py --rounds 3
part input_pipeline 30 benchmarks/input_pipeline.py --rounds 3

"$python" - "$parts" "$result" << 'PYTHON'
import json, pathlib, subprocess, sys

parts, result = map(pathlib.Path, sys.argv[1:])
contents = {"command": ["bash", "benchmarks/gpu.sh", str(result)], "parts": {}}
for line in (parts / "status").read_text().splitlines():
    name, code, seconds = line.split("\t")
    path, log = parts / f"{name}.json", (parts / f"{name}.log").read_text().splitlines()
    entry = {"exit_status": int(code), "seconds": int(seconds)}
    entry |= json.loads(path.read_text()) if path.exists() else {"log": log[-20:]}
    contents["parts"][name] = entry
try:
    query = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.sm", "--format=csv,noheader"]
    contents["gpu"] = subprocess.run(query, capture_output=True, text=True).stdout.strip()
except FileNotFoundError:
    contents["gpu"] = None
result.parent.mkdir(parents=True, exist_ok=True)
result.write_text(json.dumps(contents, indent=2) + "\n")
failed = [name for name, part in contents["parts"].items() if part["exit_status"]]
print(f"written to {result}" + (f"; failed: {', '.join(failed)}" if failed else ""))
sys.exit(bool(failed))
PYTHON
