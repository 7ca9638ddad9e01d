"""For data larger than the device: chunks from the host, the next on its way while one trains."""

import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jaxgan._internal import checks
from jaxgan.train_state import TrainState
from jaxgan.training import permute
from jaxgan.types import Metrics

__all__ = ["chunks", "stream"]


def stream(
    train: Callable[..., tuple[TrainState, Metrics]],
    state: TrainState,
    chunks: Iterable[Any],
    *,
    device: Any = None,
) -> Iterator[tuple[TrainState, Metrics]]:
    """Trains on one chunk after another, while the next is read and brought to the device.

    For data larger than the device's memory, which holds two chunks at a time. A thread takes the
    next chunk from the iterator and transfers it as soon as the last one is in use. If chunks are
    of one size, one pass each, then chunk $i$ trains steps $i n$ to $(i + 1) n - 1$, and a run
    resumes with the chunk `state.step // n` of the same source.

    Args:
      train: `(state, *chunk) -> (state, metrics)`: `steps` or `epochs` with everything else given,
        jitted, and the state donated.
      state: where to start.
      chunks: uint8 images `[num, height, width, channels]` as numpy arrays, or tuples of images
        and labels. All of one shape, or `train` is compiled again. They are copied, so that the
        source may use its buffers again.
      device: a `jax.Device` or sharding for the chunks; JAX's default if not given.

    Yields:
      State and metrics after each chunk, before the device is done with it. With the state
      donated, what was yielded is gone when the next is asked for.

    Raises:
      TypeError: `train` is no function, `chunks` cannot be iterated over, or, when its turn
        comes, a chunk is no array.
      Exception: whatever reading a chunk raises, when its turn comes.

    Example:
      >>> import functools, jax, jaxgan, numpy as np, optax
      >>> gan = jaxgan.gan(
      ...     jaxgan.networks.MLPGenerator(),
      ...     jaxgan.networks.MLPDiscriminator(),
      ...     jaxgan.losses.non_saturating(),
      ...     jaxgan.Pair(optax.adam(1e-3), optax.adam(1e-3)),
      ...     latents=100,
      ... )
      >>> chunks = (np.zeros((40, 28, 28, 1), np.uint8) for _ in range(3))
      >>> state = gan.init(jax.random.key(0), np.zeros((1, 28, 28, 1), np.float32))
      >>> train = functools.partial(jaxgan.training.epochs, gan, batch_size=20)
      >>> for state, metrics in jaxgan.streaming.stream(
      ...     jax.jit(train, donate_argnums=0), state, chunks
      ... ):
      ...     print(int(state.step))
      2
      4
      6
    """
    checks.function("train", train, "(state, *chunk) -> (state, metrics)")
    if not isinstance(chunks, Iterable) or isinstance(chunks, str | bytes | dict):
        raise TypeError(f"chunks must be an iterable of arrays; got {checks.show(chunks)}.")
    return _stream(train, state, iter(chunks), device)


def _stream(train, state, source, device) -> Iterator[tuple[TrainState, Metrics]]:
    numbers = itertools.count()

    def load() -> tuple[Any, ...] | None:
        try:
            chunk = next(source)
        except StopIteration:
            return None
        number = next(numbers)
        # device_put may keep a numpy array's own memory on a CPU, even if told not to.
        copy = tuple(
            _copy(part, number) for part in (chunk if isinstance(chunk, tuple) else (chunk,))
        )
        # The transfer must be over before the next read, or chunks would pile up on the device.
        return jax.block_until_ready(jax.device_put(copy, device))

    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as reader:
        chunk = reader.submit(load).result()
        while chunk is not None:
            following = reader.submit(load)
            state, metrics = train(state, *chunk)
            yield state, metrics
            chunk = following.result()


def chunks(
    source: Sequence[Any],
    size: int,
    *,
    key: jax.Array,
    start: int = 0,
    element: Callable[[Any], Any] = lambda record: record["image"],
) -> Iterator[Any]:
    """Reads a source of records in random order, chunk by chunk, without end.

    Each pass over the source has an order of its own, a function of (key, pass), and leaves out the
    last `len(source) % size` records of it. Chunk $i$ is a function of (key, i).

    Args:
      source: anything with a length and records by number, as `tfds.data_source`,
        `grain.MapDataset` or a list; read through `__getitems__` where there is one.
      size: records a chunk, in [1, len(source)].
      key: typed PRNG key for the order.
      start: the first chunk's number, at least 0; to resume, updates so far by updates a chunk.
      element: what to take of a record: an image, uint8 `[height, width, channels]`, or a tuple
        of image and label.

    Yields:
      Elements stacked to numpy arrays, `[size, ...]`.

    Raises:
      TypeError: `source` has no length, `key` is no typed PRNG key, a number is not whole, or
        `element` no function.
      ValueError: `size` is not in [1, len(source)], or `start` is negative; and, when its turn
        comes, the elements of a chunk differ in shape.

    Example:
      >>> import jax, numpy as np
      >>> from jaxgan import streaming
      >>> source = [{"image": np.full((2, 2, 1), i, np.uint8)} for i in range(7)]
      >>> read = streaming.chunks(source, 3, key=jax.random.key(0))
      >>> first, second = next(read), next(read)
      >>> first.shape, len({int(image[0, 0, 0]) for image in (*first, *second)})
      ((3, 2, 2, 1), 6)
    """
    if not hasattr(source, "__len__") or not hasattr(source, "__getitem__"):
        raise TypeError(
            f"source must have a length and records by number; got {checks.show(source)}."
        )
    checks.integer("size", size, -(2**31))
    checks.integer("start", start, 0)
    checks.key(key)
    checks.function("element", element, "of a record")
    if not 1 <= size <= len(source):
        raise ValueError(
            f"size must be from 1 to the number of records, {len(source)}; got {size}."
        )
    return _read(source, size, key, start, element)


def _read(source, size, key, start, element) -> Iterator[Any]:
    many = getattr(source, "__getitems__", lambda numbers: [source[i] for i in numbers])
    order = jax.jit(lambda key, places: permute(key, places, len(source)))
    for number in itertools.count(start):
        pass_number, chunk = divmod(number, len(source) // size)
        places = np.arange(chunk * size, (chunk + 1) * size)
        numbers = order(jax.random.fold_in(key, pass_number), places)
        elements = [element(record) for record in many(np.asarray(numbers).tolist())]
        try:
            yield jax.tree.map(lambda *parts: np.stack(parts), *elements)
        except ValueError as error:
            found = sorted({str(jax.tree.map(np.shape, element)) for element in elements})
            raise ValueError(
                f"All elements must be of one shape; those of chunk {number} are {found[:5]}. Let "
                "element crop or resize them."
            ) from error


def _copy(part: Any, number: int) -> np.ndarray:
    try:
        copy = np.array(part)
    except ValueError:
        copy = np.array(None)
    if copy.dtype.kind in "OUSMm":
        raise TypeError(
            "A chunk must be an array, or a tuple of them; "
            f"chunk {number} holds {checks.show(part)}."
        )
    return copy
