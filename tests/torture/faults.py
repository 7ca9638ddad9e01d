"""Kills the process at, or fails, every file operation of a save, a restore and a run's files.

    python tests/torture/faults.py --output faults.json

A small library (faults.c) counts the file operations below one folder. For each number N, each case
starts from a fresh copy of a folder, and operation N kills the process or fails with an error. Then
the newest checkpoint must be the old or the new one, bit-identical, errors must be reported, files
of others must be unchanged, and the next save must work and remove all remnants. Needs Linux and a
C compiler.
"""

import argparse
import contextlib
import ctypes
import errno
import gc
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax
from damage import same
from tqdm import tqdm

import jaxgan
from jaxgan import checkpoint, images, runs, train_state

COUNT, KILL_BEFORE, KILL_AFTER, FAIL, FAIL_FROM = range(5)  # as in faults.c
KILLS = {"kill before": (KILL_BEFORE, 0), "kill after": (KILL_AFTER, 0)}
ERRORS = {name: (FAIL, getattr(errno, name)) for name in ("EIO", "ENOSPC", "EACCES", "EROFS")}
FAULTS = KILLS | ERRORS | {"EIO from then on": (FAIL_FROM, errno.EIO)}
READS = ("EIO", "EACCES")  # the faults of operations that read
TIMEOUT = 120  # seconds for one case; a save that hangs fails
LAST = 3  # the last step of the run
KILLED = "killed"  # replaces the result of an action


class Scenario(NamedTuple):
    """Describes an action with faults.

    Attributes:
      prepare: creates the files that exist before the action.
      act: does the action in a folder, and returns its result.
      check: raises AssertionError for a wrong result, or returns a short name of the outcome. After
        a kill, the result is `KILLED`.
      faults: the names of the faults to try.
      reads: whether operations that read are counted, instead of operations that write.
    """

    prepare: Callable[[Path], None]
    act: Callable[[Path], object]
    check: Callable[[Path, object], str]
    faults: tuple[str, ...] = tuple(FAULTS)
    reads: bool = False


def state_at(step: int) -> jaxgan.TrainState:
    """Returns the state of an uninterrupted run."""
    params = jaxgan.Pair({"w": np.arange(3, dtype=np.float32)}, {"w": np.ones(2, np.float32)})
    sgd = optax.sgd(0.1)
    state = train_state.create(jax.random.key(0), params, jaxgan.Pair(sgd, sgd))
    for _ in range(step):
        state = advance(state)
    return state


def advance(state: jaxgan.TrainState) -> jaxgan.TrainState:
    """Does one step of the run, in numpy because compilation takes longer than a save."""
    step = np.asarray(state.step)
    move = lambda x: np.sin(np.asarray(x)) + np.float32(step)
    return state.replace(step=step + 1, params=jax.tree.map(move, state.params))


def save(folder: Path, step: int = 2) -> BaseException | None:
    """Saves with `keep=1`, and returns the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return checkpoint.save(folder, state_at(step), keep=1).exception()


def restore(folder: Path) -> tuple[jaxgan.TrainState, str]:
    """Returns the newest state and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        state = checkpoint.restore(folder, like=state_at(0))
    return state, "\n".join(str(warning.message) for warning in caught)


MINE = ("notes.txt", "0/mine", "7.saving/mine", "7.0a1b2c3d.deleting/mine")


def prepare_first(folder: Path) -> None:
    """Adds files of the user, with names like those of checkpoints."""
    for name in MINE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def prepare_prune(folder: Path) -> None:
    """Adds an old checkpoint, and the remnant of a killed save."""
    prepare_first(folder)
    assert save(folder, 1) is None
    shutil.copytree(folder / "1", folder / "9.0a1b2c3d.saving")


def prepare_damaged(folder: Path) -> None:
    """Adds a corrupted later checkpoint, and one that an earlier save renamed."""
    prepare_prune(folder)
    assert checkpoint.save(folder, state_at(4), keep=2).exception() is None
    shutil.copytree(folder / "4", folder / "4.damaged")
    (folder / "4" / "arrays" / "_CHECKPOINT_METADATA").write_text("{}")


def check_save(folder: Path, result: object, old: int | None, damaged: bool = False) -> str:
    newest, found = checkpoint.latest(folder), None
    assert newest in (2, old), f"step {newest} is the newest"
    if newest is not None:
        found, texts = restore(folder)
        assert same(found, state_at(newest)), f"step {newest} has WRONG VALUES"
        assert damaged or not texts, texts
    assert result is not None or newest == 2, "the save reported success"
    check_next_save(folder, found, damaged)
    reported = "" if result in (None, KILLED) else ", and the error is reported"
    return ("the new checkpoint" if newest == 2 else "the old one") + reported


def check_next_save(folder: Path, found: jaxgan.TrainState | None, damaged: bool) -> None:
    """Continues the run, and checks its last state and the files that remain."""
    state = state_at(0) if found is None else found
    while int(state.step) < LAST:
        state = advance(state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        error = checkpoint.save(folder, state, keep=1).exception()
    assert error is None, f"the next save failed: {error}"
    found, texts = restore(folder)
    assert same(found, state_at(LAST)), "the resumed run has WRONG VALUES"
    assert not texts, texts
    assert all((folder / name).read_text() == name for name in MINE), "changed the user's files"
    expected = {Path(name).parts[0] for name in MINE} | {str(LAST), ".lock"}
    expected |= {"4.damaged"} if damaged else set()
    names = {path.name for path in folder.iterdir()}
    assert names == expected, f"remains: {sorted(names - expected)}; lost: {expected - names}"


def prepare_restore(folder: Path) -> None:
    prepare_first(folder)
    for step in (1, 2):
        assert checkpoint.save(folder, state_at(step)).exception() is None


def try_restore(folder: Path) -> object:
    try:
        return restore(folder)
    except (OSError, ValueError) as error:
        return error


def check_restore(folder: Path, result: object) -> str:
    found, texts = restore(folder)  # without a fault
    assert same(found, state_at(2)), "a failed read changed the checkpoint"
    assert not texts, texts
    if isinstance(result, Exception):
        assert str(folder) in str(result), f"the error names no file: {result!r}"
        return "an error that names the file"
    found, texts = result
    if same(found, state_at(2)):
        return "the newest checkpoint"
    assert same(found, state_at(1)), "WRONG VALUES"
    assert "step 2:" in texts, "the older checkpoint, without a warning"
    return "the one before it, with a warning"


FILES = ("config.json", "log.jsonl", "summary.json")
PICTURES = ("picture.png", "pictures.gif")


def write_files(folder: Path, names: tuple[str, ...], version: int = 1) -> list[Exception | None]:
    """Writes files of a run, and returns the error of each file."""
    picture = np.full((8, 8, 1), version, np.uint8)
    writes: dict[str, Callable[[Path], object]] = {
        "config.json": lambda path: runs.begin(
            path.parent, {"epochs": version + 1}, resume=version > 0
        ),
        "log.jsonl": lambda path: runs.write_log(path, [{"epoch": i} for i in range(version + 1)]),
        "summary.json": lambda path: runs.write_json(path, {"epochs": version}),
        "picture.png": lambda path: images.save(path, picture),
        "pictures.gif": lambda path: images.animate(path, [picture] * (version + 1)),
    }
    errors: list[Exception | None] = []
    folder.mkdir(exist_ok=True)
    for name in names:
        try:
            writes[name](folder / name)
            errors.append(None)
        except OSError as error:
            errors.append(error)
    return errors


def contents(names: tuple[str, ...], version: int) -> list[bytes]:
    """Returns the files of one version."""
    with tempfile.TemporaryDirectory() as folder:
        for each in range(version + 1):
            assert write_files(Path(folder), names, each) == [None] * len(names)
        return [(Path(folder) / name).read_bytes() for name in names]


def check_files(folder: Path, result: object, names: tuple[str, ...]) -> str:
    errors = [KILLED] * len(names) if result == KILLED else result
    found = [(folder / name).read_bytes() for name in names]
    old, new = contents(names, 0), contents(names, 1)
    for name, data, before, after, error in zip(names, found, old, new, errors, strict=True):
        assert data in (before, after), f"{name} is neither the old nor the new file"
        assert error is not None or data == after, f"{name} is the old file, without an error"
    assert write_files(folder, names) == [None] * len(names)
    assert [(folder / name).read_bytes() for name in names] == new
    others = {path.name for path in folder.iterdir()} - {*names, ".lock"}
    is_reported = any(isinstance(error, Exception) for error in errors)
    # A temporary file remains after a kill, and after an error of all later operations.
    may_remain = result == KILLED or is_reported
    assert all(may_remain and name.endswith(".tmp") for name in others), others
    return "the old or the new files" + ", and the error is reported" * is_reported


def scenario_of_files(names: tuple[str, ...]) -> Scenario:
    return Scenario(
        lambda folder: write_files(folder, names, 0),
        lambda folder: write_files(folder, names),
        lambda *x: check_files(*x, names),
    )


SCENARIOS = {
    "first save": Scenario(prepare_first, save, lambda *x: check_save(*x, None)),
    "save that prunes": Scenario(prepare_prune, save, lambda *x: check_save(*x, 1)),
    "save after damage": Scenario(prepare_damaged, save, lambda *x: check_save(*x, 1, True)),
    "reads of a save": Scenario(prepare_prune, save, lambda *x: check_save(*x, 1), READS, True),
    "restore": Scenario(prepare_restore, try_restore, check_restore, READS, True),
    "files of a run": scenario_of_files(FILES),
    "pictures": scenario_of_files(PICTURES),
}


class Library:
    """Controls faults.c, which this process must have preloaded."""

    def __init__(self, folder: Path):
        self.library, self.log = ctypes.CDLL(os.environ["LD_PRELOAD"]), folder / "log.txt"

    def arm(self, folder: Path, reads: bool, mode: int, first: int, error: int) -> None:
        paths = os.fsencode(folder), os.fsencode(self.log)
        self.library.arm(*paths, reads, mode, ctypes.c_long(first), error)

    def disarm(self) -> list[str]:
        """Returns the calls, such as "7 mkdir /2"."""
        self.library.disarm()
        return self.log.read_text().splitlines()


def check_order(folder: Path, lines: list[str]) -> None:
    """Checks what a power failure needs: flushed data, then the new name, then deletions."""
    calls = [line.split(" ", 2)[1:] for line in lines]
    staged = re.compile(r"/2\.[0-9a-f]{8}\.saving")
    moved = next(i for i, x in enumerate(calls) if x[0] == "rename" and staged.fullmatch(x[1]))
    staging, before, ignored = calls[moved][1], calls[:moved], ("fsync", "fcntl")
    changes = [i for i, x in enumerate(before) if x[1].startswith(staging) and x[0] not in ignored]
    last_data = max(i for i in changes if not before[i][1].endswith("/seal.json"))
    files = {path for name, path in before[last_data:] if name == "fsync"}
    folders = {path for name, path in before[changes[-1] :] if name == "fsync"}
    for path in (folder / "2", *(folder / "2").rglob("*")):
        name = staging + str(path).removeprefix(str(folder / "2"))
        assert name in (folders if path.is_dir() or path.name == "seal.json" else files), name
    assert calls[moved + 1] == ["fsync", ""], calls[moved + 1]


def act(scenario: Scenario, folder: Path, library: Library, fault: str, number: int) -> object:
    """Does the action with a fault, in another process if the fault kills it."""
    mode, error = FAULTS[fault] if number else (COUNT, 0)
    if mode not in (KILL_BEFORE, KILL_AFTER):
        library.arm(folder, scenario.reads, mode, number, error)
        return scenario.act(folder)
    child = os.fork()
    if not child:
        signal.alarm(TIMEOUT)
        library.arm(folder, scenario.reads, mode, number, error)
        with contextlib.suppress(BaseException):
            scenario.act(folder)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), f"the save ended with status {status}"
    return KILLED


def attempt(name: str, fault: str, number: int, folder: Path) -> dict:
    """Runs one case in this process, and returns its outcome; number 0 has no fault."""
    scenario, library, place = SCENARIOS[name], Library(folder), folder / "run"
    shutil.copytree(folder.parent / name, place)
    case = {"scenario": name, "fault": fault, "number": number}
    try:
        result = act(scenario, place, library, fault, number)
        case["calls"] = library.disarm()
        if number == 0 and scenario.act is save and not scenario.reads:
            check_order(place, case["calls"])
        case["outcome"] = scenario.check(place, result)
    except Exception as error:
        case["problem"] = f"{error}\n{traceback.format_exc(limit=-3)}"
    reached = len(case.get("calls", ())) >= number
    return case | ({} if reached else {"outcome": "not reached"})


def fork(folder: Path, run: Callable[..., object], *arguments: object) -> int:
    """Runs a function in a child process, which writes its result to `case.json`."""
    folder.mkdir()
    if child := os.fork():
        return child
    signal.alarm(TIMEOUT)
    with (folder / "errors.txt").open("wb") as file:
        os.dup2(file.fileno(), 2)  # Orbax logs the errors
    (folder / "case.json").write_text(json.dumps(run(*arguments), default=str))
    os._exit(0)


def run_all(cases: list[tuple[str, str, int]], root: Path, jobs: int) -> list[dict]:
    """Runs cases in child processes, `jobs` at a time."""
    results, running, waiting = [], {}, list(reversed(cases))
    with tqdm(total=len(cases), unit="case") as progress:
        while waiting or running:
            if waiting and len(running) < jobs:
                case, folder = waiting.pop(), root / f"case{len(waiting)}"
                running[fork(folder, attempt, *case, folder)] = case, folder
                continue
            child, status = os.wait()
            case, folder = running.pop(child)
            result = result_of(folder, case, os.waitstatus_to_exitcode(status))
            if "problem" in result:
                tqdm.write(describe(result), file=sys.stderr)
            results.append(result)
            shutil.rmtree(folder)
            progress.update()
    return results


def result_of(folder: Path, case: tuple[str, str, int], status: int) -> dict:
    if status == 0:
        return json.loads((folder / "case.json").read_text())
    log = folder / "log.txt"
    names = ("scenario", "fault", "number")
    text = f"HANGS for {TIMEOUT} s" if status == -signal.SIGALRM else f"exit status {status}"
    calls = log.read_text().splitlines() if log.exists() else []
    return dict(zip(names, case, strict=True)) | {"problem": text, "calls": calls}


def torture(
    root: Path, scenarios: list[str], faults: list[str], every: int = 1, jobs: int = 2
) -> dict:
    """Counts the outcomes of faults at every operation, or at each `every`-th one."""
    for name in scenarios:
        place = root / f"prepare {name}"
        child = fork(place, SCENARIOS[name].prepare, root / name)
        assert os.waitpid(child, 0)[1] == 0, (place / "errors.txt").read_text()
    intact = {run["scenario"]: run for run in run_all([(s, "", 0) for s in scenarios], root, jobs)}
    problems = [run["problem"] for run in intact.values() if "problem" in run]
    assert not problems, problems[0]
    cases = [
        (name, fault, number)
        for name in scenarios
        for fault in faults
        if fault in SCENARIOS[name].faults
        for number in range(1, len(intact[name]["calls"]) + 1, every)
    ]
    results = run_all(cases, root, jobs)
    return {
        "cases": len(results),
        "operations": {name: count_operations(run["calls"]) for name, run in intact.items()},
        "outcomes": {name: count_outcomes(results, name) for name in scenarios},
        "problems": [describe(result) for result in results if "problem" in result],
    }


def count_operations(calls: list[str]) -> dict[str, int]:
    return {"all": len(calls), **Counter(line.split(" ")[1] for line in calls)}


def count_outcomes(results: list[dict], scenario: str) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for result in (result for result in results if result["scenario"] == scenario):
        outcome = "PROBLEM" if "problem" in result else result["outcome"]
        counts.setdefault(result["fault"], Counter())[outcome] += 1
    return {fault: dict(counter) for fault, counter in counts.items()}


def describe(result: dict) -> str:
    number = result["number"]
    calls = result.get("calls", ())
    call = calls[number - 1] if len(calls) >= number else f"{number}"
    return f"{result['scenario']}, {result['fault']} at {call}: {result['problem']}"


def build(folder: Path) -> Path:
    """Compiles faults.c.

    Raises:
      OSError, subprocess.CalledProcessError: If there is no C compiler.
    """
    library, source = folder / "faults.so", Path(__file__).with_suffix(".c")
    command = ["cc", "-shared", "-fPIC", "-O1", "-w", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return library


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), metavar="NAME")
    add("--faults", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="NAME")
    add("--every", type=int, default=1, help="skips operations (default: 1, which skips none)")
    add("--jobs", type=int, default=2, help="the number of processes (default: 2)")
    add("--output", type=Path, help="a JSON file (default: none)")
    args, clock = parser.parse_args(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        if "faults.so" not in os.environ.get("LD_PRELOAD", ""):
            environment = os.environ | {"LD_PRELOAD": str(build(Path(folder)))}
            sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment).returncode)
        root = Path(folder).resolve()
        counted = torture(root, args.scenarios, args.faults, args.every, args.jobs)
        os.waitpid(fork(root / "about", jaxgan.environment), 0)
        about = json.loads((root / "about" / "case.json").read_text())
    counted |= {"seconds": time.perf_counter() - clock}
    counted |= {"command": shlex.join(["python", *sys.argv]), **about}
    print(json.dumps(counted, indent=2))
    if args.output:
        args.output.write_text(json.dumps(counted) + "\n")
    sys.exit(bool(counted["problems"]))


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # of JAX, which is not in use yet
    gc.freeze()
    gc.disable()
    main()
