"""Exchanges short texts between the processes of one run.

`jax.distributed` starts a coordinator, which stores texts by key. The coordinator needs no device,
so an exchange cannot interfere with a training program, and a thread can wait for a text.
"""

import builtins
import itertools
import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax

T = TypeVar("T")
E = TypeVar("E", bound=type[Exception])

SECONDS = 600
"""The longest wait for the other processes, for example while they load the data."""

_numbers = itertools.count()  # of exchanges; equal in all processes
_errors: dict[str, type[Exception]] = {}  # the classes that `shared` registered


def count() -> int:
    """Returns the number of processes: 1 unless `jax.distributed` is initialized.

    Without `jax.distributed`, the function does not initialize JAX's backend.
    """
    return jax.process_count() if jax.distributed.is_initialized() else 1


def index() -> int:
    """Returns the number of this process, from 0."""
    return jax.process_index() if count() > 1 else 0


def is_first() -> bool:
    """Returns whether this is process 0, which owns the run's folder."""
    return index() == 0


def shared(error: E) -> E:
    """Registers an error class, so that all processes raise it. Built-in classes need no call."""
    _errors[error.__name__] = error
    return error


def gather(name: str, function: Callable[[], Any]) -> list[Any]:
    """Calls a function in each process, and returns all results in all processes.

    All processes must call `gather` in the same order, each from one thread. If the function raises
    an error in any process, all processes raise the error of the first such process.

    Args:
      name: the public function that the user called, for errors.
      function: returns a JSON-serializable value. With one process, any value.

    Returns:
      The results, in the order of the processes.

    Raises:
      RuntimeError: If another process called another function.
      TimeoutError: If a process did not call the function in time; the message names the process.
    """
    if count() == 1:
        return [function()]
    own, reply = None, {"name": name}
    try:
        reply["value"] = function()
    except Exception as error:
        own, reply = error, reply | _describe(error)
    replies = _exchange(name, reply)
    called = ", ".join(f"{reply['name']} in process {i}" for i, reply in enumerate(replies))
    if any(reply["name"] != name for reply in replies):
        raise RuntimeError(f"All processes must call the same function; got {called}.") from own
    for i, reply in enumerate(replies):
        if "error" in reply:
            raise own if own is not None and i == index() else _error(reply) from own
    return [reply["value"] for reply in replies]


def first(name: str, function: Callable[[], T]) -> T:
    """Calls a function in process 0, and returns its result or raises its error in all processes.

    Args:
      name, function: as for `gather`.
    """
    return gather(name, function if is_first() else lambda: None)[0]


def together(name: str, function: Callable[[], T]) -> T:
    """Calls a function in each process, and returns its result in that process.

    If the function raises an error in any process, all processes raise it. Without this exchange,
    the other processes would wait for the process with the error.

    Args:
      name, function: as for `gather`. The result can be any value.
    """
    results: list[T] = []
    gather(name, lambda: results.append(function()))
    return results[0]


def require_same(name: str, value: dict[str, Any], caller: str, advice: str) -> None:
    """Checks that a dict is the same in all processes.

    Args:
      name: the argument's name in an error.
      value: a JSON-serializable dict.
      caller: the public function that the user called, for errors.
      advice: one instruction.

    Raises:
      ValueError: If the dicts differ, in all processes. The message names the keys.
    """
    expected, *others = gather(caller, lambda: value)
    show = lambda found, key: json.dumps(found[key]) if key in found else "absent"
    differing = [
        f"{key} {show(other, key)} in process {i}, {show(expected, key)} in process 0"
        for i, other in enumerate(others, 1)
        for key in sorted(other.keys() | expected.keys())
        if show(other, key) != show(expected, key)
    ]
    if differing:
        more = f"; and {len(differing) - 3} more" if len(differing) > 3 else ""
        got = "; ".join(differing[:3]) + more
        raise ValueError(f"{name} must be the same in all processes; got {got}. {advice}")


def new_key() -> str:
    """Returns a key for `outcome`. All processes must call the function in the same order."""
    return f"jaxgan/outcomes/{next(_numbers)}"


def outcome(key: str, function: Callable[[], None]) -> None:
    """Calls a function in process 0, and raises its error, if any, in all processes.

    A thread can call this function. The other processes wait without a limit, because `jax`
    ends them if process 0 ends.

    Args:
      key: the result of `new_key`.
      function: the function, which process 0 alone calls.
    """
    if count() == 1:
        function()
    elif is_first():
        _publish(key, function)
    elif "error" in (reply := json.loads(_wait_for(key))):
        raise _error(reply)


def _publish(key: str, function: Callable[[], None]) -> None:
    reply = {}
    try:
        function()
    except Exception as error:
        reply = _describe(error)
        raise
    finally:
        _client().key_value_set(key, json.dumps(reply))


def _exchange(name: str, reply: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the replies of all processes, in their order."""
    number, client = next(_numbers), _client()
    folder = f"jaxgan/replies/{number}/"
    client.key_value_set(f"{folder}{index()}", json.dumps(reply))
    try:
        client.wait_at_barrier(f"jaxgan/replies/{number}", 1000 * SECONDS)
    except jax.errors.JaxRuntimeError as error:
        found = {int(key.rsplit("/", 1)[1]) for key, _ in client.key_value_dir_get(folder)}
        missing = ", ".join(str(i) for i in range(count()) if i not in found)
        if "DEADLINE_EXCEEDED" not in str(error) or not missing:
            raise
        raise TimeoutError(
            f"All processes must call {name} within {SECONDS} seconds of each other; got no call "
            f"from process {missing}. Look at the output of that process."
        ) from error
    texts = {int(key.rsplit("/", 1)[1]): text for key, text in client.key_value_dir_get(folder)}
    # All processes have passed the barrier, so each has read the replies of its last exchange.
    for key in _read:
        client.key_value_delete(key)
    _read[:] = [f"{folder}{index()}"]
    return [json.loads(texts[i]) for i in range(count())]


_read: list[str] = []  # this process's reply in the last exchange


def _wait_for(key: str) -> str:
    while True:
        try:
            return _client().blocking_key_value_get(key, 1000 * SECONDS)
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise


def _describe(error: Exception) -> dict[str, str]:
    """Returns the name of the nearest error class that `_error` can make, and the message."""
    names = (kind.__name__ for kind in type(error).__mro__)
    return {"error": next(name for name in names if _class(name)), "message": str(error)}


def _error(reply: dict[str, str]) -> Exception:
    """Returns an error that another process raised."""
    try:
        return _class(reply["error"])(reply["message"])
    except TypeError:  # a class such as UnicodeDecodeError needs several arguments
        return RuntimeError(reply["message"])


def _class(name: str) -> Any:
    found = _errors.get(name, getattr(builtins, name, None))
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def _client() -> Any:
    """Returns the client of the coordinator, for which JAX has no public name."""
    from jax._src import distributed

    return distributed.global_state.client
