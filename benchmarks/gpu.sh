#!/usr/bin/env bash
# All that matters on a GPU machine, in one call of under 9 minutes, into one JSON:
#
#     bash benchmarks/gpu.sh benchmarks/results/gpu.json
#
# Needs jax with CUDA, flax, optax, orbax-checkpoint, numpy, matplotlib and, for the peers, torch.
# A part that fails or takes too long is told in the JSON and does not stop the others.
set -uo pipefail
cd "$(dirname "$0")/.."

result=${1:-benchmarks/results/gpu.json}
python=${PYTHON:-python}
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
export XLA_PYTHON_CLIENT_PREALLOCATE=false # torch runs in the same process
options=()
[ -n "${QUICK:-}" ] && options=(--quick) # does it run?

part() { # name, seconds, command
    local name=$1 limit=$2 start=$SECONDS rc=0
    shift 2
    echo "== $name: $*"
    timeout "$limit" "$python" "$@" "${options[@]}" --json "$parts/$name.json" \
        > "$parts/$name.log" 2>&1 || rc=$?
    tail -n 40 "$parts/$name.log"
    printf '%s\t%s\t%s\n' "$name" "$rc" "$((SECONDS - start))" >> "$parts/told"
}

# The figures that the goals are about come first.
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
for line in (parts / "told").read_text().splitlines():
    name, code, seconds = line.split("\t")
    path, log = parts / f"{name}.json", (parts / f"{name}.log").read_text().splitlines()
    told = {"exit_status": int(code), "seconds": int(seconds)}
    told |= json.loads(path.read_text()) if path.exists() else {"log": log[-20:]}
    contents["parts"][name] = told
try:
    asked = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.sm", "--format=csv,noheader"]
    contents["gpu"] = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
except FileNotFoundError:
    contents["gpu"] = None
result.parent.mkdir(parents=True, exist_ok=True)
result.write_text(json.dumps(contents, indent=2) + "\n")
failed = [name for name, part in contents["parts"].items() if part["exit_status"]]
print(f"written to {result}" + (f"; failed: {', '.join(failed)}" if failed else ""))
sys.exit(bool(failed))
PYTHON
