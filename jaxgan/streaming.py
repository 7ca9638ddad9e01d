"""Trains on data larger than the device's memory, in chunks that the host reads in advance."""

import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Concatenate, Protocol, TypeVar

import jax
import numpy as np

from jaxgan._internal import checks
from jaxgan.train_state import TrainState
from jaxgan.training import permute
from jaxgan.types import Metrics, PyTree

__all__ = ["Chunk", "Source", "Train", "chunks", "stream"]

Record = TypeVar("Record")
Record_co = TypeVar("Record_co", covariant=True)

Train = Callable[Concatenate[TrainState, ...], tuple[TrainState, Metrics]]
"""Trains on one chunk, `(state, *chunk) -> (state, metrics)`."""

Chunk = tuple[np.ndarray, ...]
"""One chunk on the host: images, and labels if there are any."""


class Source(Protocol[Record_co]):
    """A data source with a length and records by index.

    Lists, `tfds.data_source` and `grain.MapDataset` are sources. If a source also has the method
    `__getitems__(indices)`, one call of this method reads all records of a chunk.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Record_co: ...


def stream(
    train: Train,
    state: TrainState,
    chunks: Iterable[np.ndarray | Chunk],
    *,
    device: jax.Device | jax.sharding.Sharding | None = None,
) -> Iterator[tuple[TrainState, Metrics]]:
    """Trains on one chunk after another, and reads the next chunk meanwhile.

    The device's memory holds two chunks at a time. A thread reads the next chunk and transfers it
    to the device while the current one trains. If all chunks have one size and each trains for $n$
    steps, chunk $i$ trains steps $i n$ to $(i + 1) n - 1$, and a run resumes with chunk
    `state.step // n` of the same source.

    Args:
      train: `(state, *chunk) -> (state, metrics)`, such as a jitted `training.epochs` that donates
        the state.
      state: the state to start from.
      chunks: uint8 images `[num, height, width, channels]` as numpy arrays, or tuples of images
        and labels. A new shape compiles `train` again. The stream copies each chunk, so the source
        may reuse its buffers.
      device: a device or sharding for the chunks; by default JAX's default device.

    Yields:
      State and metrics after each chunk, possibly before the device has computed them. If `train`
      donates the state, the next iteration deletes the yielded state.

    Raises:
      TypeError: If `train` is not a function or `chunks` is not an iterable; or, in the iteration
        that reads it, if a chunk is not an array.
      Exception: If reading a chunk fails, the source's exception, in the iteration that reads it.

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
    is_source = isinstance(chunks, Iterable) and not isinstance(chunks, str | bytes | dict)
    got = checks.shown(chunks)
    checks.require(is_source, "chunks", "an iterable of arrays", got, error=TypeError)
    return _stream(train, state, iter(chunks), device)


def _stream(
    train: Train,
    state: TrainState,
    chunks: Iterator[np.ndarray | Chunk],
    device: jax.Device | jax.sharding.Sharding | None,
) -> Iterator[tuple[TrainState, Metrics]]:
    numbered = enumerate(chunks)

    def load() -> tuple[jax.Array, ...] | None:
        try:
            number, chunk = next(numbered)
        except StopIteration:
            return None
        # device_put may keep a numpy array's own memory on a CPU, even with may_alias=False.
        copy = _copy(chunk if isinstance(chunk, tuple) else (chunk,), number)
        # The transfer must end before the next read, or chunks would accumulate on the device.
        return jax.block_until_ready(jax.device_put(copy, device))

    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as reader:
        chunk = reader.submit(load).result()
        while chunk is not None:
            following = reader.submit(load)
            state, metrics = train(state, *chunk)
            yield state, metrics
            chunk = following.result()


def _copy(chunk: tuple[object, ...], number: int) -> Chunk:
    """Checks a chunk, and copies it."""
    copies = []
    for part in chunk:
        try:
            copy = np.array(part)
        except ValueError:  # lists of several lengths
            copy = np.array(None)
        is_array, got = copy.dtype.kind not in "OUSMm", checks.shown(part)
        expected = "an array, or a tuple of arrays"
        checks.require(is_array, f"Chunk {number}", expected, got, error=TypeError)
        copies.append(copy)
    return tuple(copies)


def chunks(
    source: Source[Record],
    size: int,
    *,
    key: jax.Array,
    start: int = 0,
    element: Callable[[Record], PyTree] = lambda record: record["image"],  # type: ignore[index]
) -> Iterator[PyTree]:
    """Reads the records of a source in random order, in chunks, without end.

    Each pass over the source has its own order, a function of (key, pass), and leaves out the last
    `len(source) % size` records of this order. Chunk $i$ is a function of (key, i).

    Args:
      source: an object with a length and records by index, such as `tfds.data_source`,
        `grain.MapDataset` or a list. `chunks` reads through `__getitems__` if the source has it.
      size: records in a chunk, in [1, len(source)].
      key: typed PRNG key for the order.
      start: index of the first chunk, at least 0. To resume, divide the number of steps so far by
        the steps in a chunk.
      element: the function that selects from a record: an image, uint8
        `[height, width, channels]`, or a tuple of image and label.

    Yields:
      Elements stacked to numpy arrays, `[size, ...]`.

    Raises:
      TypeError: If `source` has no length or no records by index, `key` is not a typed PRNG key,
        `size` or `start` is not an integer, or `element` is not a function.
      ValueError: If `size` is not in [1, len(source)] or `start` is negative; or, in the iteration
        that reads it, if the elements of a chunk differ in shape.

    Example:
      >>> import jax, numpy as np
      >>> from jaxgan import streaming
      >>> source = [{"image": np.full((2, 2, 1), i, np.uint8)} for i in range(7)]
      >>> read = streaming.chunks(source, 3, key=jax.random.key(0))
      >>> first, second = next(read), next(read)
      >>> first.shape, len({int(image[0, 0, 0]) for image in (*first, *second)})
      ((3, 2, 2, 1), 6)
    """
    is_source = hasattr(source, "__len__") and hasattr(source, "__getitem__")
    got = checks.shown(source)
    checks.require(is_source, "source", "records with a length and indices", got, error=TypeError)
    checks.integer("size", size, 1, len(source))
    checks.integer("start", start, 0)
    checks.key(key)
    checks.function("element", element, "record -> element")
    return _chunks(source, size, key, start, element)


def _chunks(
    source: Source[Record],
    size: int,
    key: jax.Array,
    start: int,
    element: Callable[[Record], PyTree],
) -> Iterator[PyTree]:
    read = getattr(source, "__getitems__", lambda indices: [source[i] for i in indices])
    order = jax.jit(lambda key, indices: permute(key, indices, len(source)))
    for number in itertools.count(start):
        pass_number, chunk = divmod(number, len(source) // size)
        indices = np.arange(chunk * size, (chunk + 1) * size)
        shuffled = order(jax.random.fold_in(key, pass_number), indices)
        elements = [element(record) for record in read(np.asarray(shuffled).tolist())]
        yield _stack(elements, number)


def _stack(elements: list[PyTree], number: int) -> PyTree:
    try:
        return jax.tree.map(lambda *parts: np.stack(parts), *elements)
    except ValueError as error:
        shapes = sorted({str(jax.tree.map(np.shape, element)) for element in elements})
        got = f"{shapes[:5]}. Crop or resize them in element."
        raise ValueError(f"Elements of chunk {number} must be of one shape; got {got}") from error
