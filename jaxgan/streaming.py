"""Trains on datasets larger than the device's memory, in chunks that are read in advance."""

import concurrent.futures
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgan._game import GAN
from jaxgan._internal import checks, meshes
from jaxgan.distributed import place
from jaxgan.train_state import TrainState
from jaxgan.training import epochs, permute, steps
from jaxgan.types import Metrics, PyTree

__all__ = ["Chunk", "Source", "Train", "chunks", "stream"]

Record = TypeVar("Record")
Record_co = TypeVar("Record_co", covariant=True)

Train = Callable[[TrainState, PyTree], tuple[TrainState, Metrics]]
"""A function that trains on one chunk, `(state, chunk) -> (state, metrics)`."""

Chunk = PyTree
"""One chunk in host memory: an array, or a pytree of arrays such as `(images, labels)`."""


class Source(Protocol[Record_co]):
    """Returns records by index, and has a length.

    Lists, `tfds.data_source` and `grain.MapDataset` are sources. If a source has the method
    `__getitems__(indices)`, `chunks` calls the method once per chunk.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Record_co: ...


def stream(
    train: Train,
    state: TrainState,
    chunks: Iterable[Chunk],
    *,
    device: jax.Device | jax.sharding.Sharding | None = None,
    mesh: Mesh | None = None,
) -> Iterator[tuple[TrainState, Metrics]]:
    """Trains on chunks one after another, and reads the next chunk during training.

    While the device trains on one chunk, a thread reads the next chunk and transfers it to the
    device. The device therefore needs memory for two chunks.

    If training takes $n$ steps on each chunk, chunk $i$ covers steps $i n$ to $(i + 1) n - 1$. To
    resume, start with chunk `state.step // n` of the same source.

    Args:
      train: `(state, chunk) -> (state, metrics)`, such as a jitted `training.epochs` that donates
        the state (JAX reuses its memory). If `train` is a `functools.partial` of `training.epochs`
        or `training.steps` without `preprocess`, also jitted or vmapped, the images and labels of
        a GAN are checked before training.
      state: the `TrainState` to start from.
      chunks: numpy arrays, such as uint8 images `[num, height, width, channels]`, or pytrees of
        arrays, such as tuples `(images, labels)`. JAX compiles a jitted `train` again for each new
        shape. Each chunk is copied, so the source may reuse its buffers.
      device: a device or sharding of this process for the chunks; by default JAX's default device.
      mesh: a mesh of `jaxgan.distributed`, instead of `device`. Each device receives whole chunks.
        Pass the same mesh to `train`. In several processes, all read the same chunks.

    Yields:
      The state and metrics after each chunk. JAX may still be computing their values; reading a
      value waits for the computation. If `train` donates the state, the next iteration deletes the
      yielded state.

    Raises:
      TypeError: If `train` is not a function, `chunks` is not an iterable of chunks, or `mesh` is
        not a mesh. During iteration: if a chunk is not an array or a pytree of arrays that numpy
        can read, or labels are not integers.
      ValueError: If `mesh` is given with `device`, or its axes are not Auto, or `device` has
        devices of other processes. During iteration, if a label is not in [0, gan.num_classes),
        labels and images differ in number, or uint8 images are probably masks (0 and 1 only).
      Exception: During iteration, if reading a chunk fails: the exception of the source.

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
    checks.function("train", train, "(state, chunk) -> (state, metrics)")
    is_source = isinstance(chunks, Iterable) and not isinstance(chunks, str | bytes | dict)
    is_source = is_source and not hasattr(chunks, "ndim") and not _is_batch(chunks)
    got, advice = checks.shown(chunks), "Pass [(images, labels)] or [images] for a single chunk."
    checks.require(is_source, "chunks", "an iterable of chunks", got, advice, error=TypeError)
    # `device_put` waits for other processes, which a thread must not do.
    is_local = getattr(device, "is_fully_addressable", True)
    got, advice = checks.shown(device), "Pass the mesh as mesh."
    checks.require(is_local, "device", "a device or sharding of this process", got, advice)
    put = functools.partial(jax.device_put, device=device)
    if mesh is not None:
        meshes.check_mesh(mesh)
        checks.require(device is None, "device", "omitted with mesh", checks.shown(device))
        put = functools.partial(place, mesh)
    return _stream(train, state, iter(chunks), put)


def _stream(
    train: Train,
    state: TrainState,
    chunks: Iterator[Chunk],
    put: Callable[[Chunk], PyTree],
) -> Iterator[tuple[TrainState, Metrics]]:
    numbered, gan = enumerate(chunks), _trained_gan(train)

    def load() -> PyTree | None:
        try:
            number, chunk = next(numbered)
        except StopIteration:
            return None
        # On a CPU, device_put may share a numpy array's memory, even with may_alias=False.
        copy = _copy(chunk, number)
        if gan is not None:  # inside jit, the chunk has no values
            _check_values(gan, copy, number)
        # Wait for the transfer, so that chunks do not accumulate on the device.
        return jax.block_until_ready(put(copy))

    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as reader:
        chunk = reader.submit(load).result()
        while chunk is not None:
            following = reader.submit(load)
            state, metrics = train(state, chunk)
            yield state, metrics
            chunk = following.result()


def _check_values(gan: GAN, chunk: Chunk, number: int) -> None:
    """Checks the number of rows, and the values of uint8 images and of labels."""
    shapes = [x.shape for x in jax.tree.leaves(chunk)]
    fits = len({shape[:1] for shape in shapes}) == 1 and () not in shapes
    name, expected = f"Chunk {number}", "arrays with the same first axis"
    checks.require(fits, name, expected, f"the shapes {shapes[:5]}")
    images = chunk[0] if isinstance(chunk, tuple) else chunk
    is_images = isinstance(images, np.ndarray) and images.ndim == 4 and images.dtype == np.uint8
    if is_images and images.size and gan.data_range is not None:
        checks.images_in_range(name, images, real=True)
    if isinstance(chunk, tuple) and len(chunk) == 2 and gan.num_classes is not None:
        checks.labels(chunk[1], shapes[0][:1], gan.num_classes)


def _trained_gan(train: Any) -> GAN | None:
    """Returns the GAN that `training.epochs` or `training.steps` trains on normalized images.

    `train` may be any nesting of `functools.partial`, `jax.jit` and `jax.vmap`.
    """
    bound: list[object] = []
    while train is not epochs and train is not steps:
        if isinstance(train, functools.partial):
            if "preprocess" in train.keywords:
                return None
            bound += [*train.args, *train.keywords.values()]
            train = train.func
        elif hasattr(train, "__wrapped__"):
            train = train.__wrapped__
        else:
            return None
    return next((value for value in bound if isinstance(value, GAN)), None)


def _is_batch(value: object) -> bool:
    """Returns whether a value is several arrays of different ranks, such as images and labels."""
    if not isinstance(value, tuple | list):
        return False
    ranks = {getattr(part, "ndim", None) for part in value}
    return len(ranks) > 1 and None not in ranks


def _copy(chunk: Chunk, number: int) -> Chunk:
    """Checks that a chunk consists of arrays, and copies them."""
    name, expected = f"Chunk {number}", "an array, or a tuple or dict of arrays"
    has_leaf = chunk is None or len(jax.tree.leaves(chunk)) > 0
    checks.require(has_leaf, name, expected, checks.shown(chunk), error=TypeError)
    copy = lambda part: np.array(_as_array(name, part, expected))
    is_leaf = lambda x: isinstance(x, list) or x is None
    return jax.tree.map(copy, chunk, is_leaf=is_leaf)


def _as_array(name: str, value: object, expected: str) -> np.ndarray:
    """Converts a value to a numpy array, including the tensors that numpy can read."""
    try:
        array = np.asarray(value)
    except Exception:  # lists of different lengths, or any error of another library
        array = np.array(None)
    is_nested = isinstance(value, list | dict)
    advice = "Convert it to a tuple of arrays, such as (images, labels)." if is_nested else ""
    is_array, got = array.dtype.kind not in "OUSMm", checks.shown(value)
    checks.require(is_array, name, expected, got, advice, error=TypeError)
    return array


def _image(record: Any) -> PyTree:
    """Returns the image of a record."""
    try:
        return record["image"]
    except (TypeError, LookupError) as error:
        advice = "Pass element, such as lambda record: record for (image, label)."
        got = f"{checks.show(record)}. {advice}"
        raise TypeError(f"Each record must be a dict with the key 'image'; got {got}") from error


def chunks(
    source: Source[Record],
    size: int,
    *,
    key: jax.Array,
    start: int = 0,
    element: Callable[[Record], PyTree] = _image,
) -> Iterator[PyTree]:
    """Reads the records of a source in random order, as an endless iterator of chunks.

    For a given source and `size`, chunk $i$ depends only on the key and $i$. Each pass over the
    source has a different order, and omits the last `len(source) % size` records of that order.

    Args:
      source: an object with a length and records by index, such as `tfds.data_source`,
        `grain.MapDataset` or a list.
      size: the number of records in a chunk, in [1, len(source)].
      key: typed PRNG key for the order.
      start: the index of the first chunk, at least 0. To resume, pass `int(state.step) // n`, where
        `n` is the number of training steps on each chunk.
      element: a function that returns the element of a record: a uint8 image
        `[height, width, channels]`, or a tuple of image and label. By default, `record["image"]`.
        For records `(image, label)`, pass `lambda record: record`.

    Yields:
      The elements of a chunk, stacked as numpy arrays `[size, ...]`.

    Raises:
      TypeError: If `source` has no length or cannot be indexed, `key` is not a typed PRNG key,
        `size` or `start` is not an integer, or `element` is not a function. During iteration: if a
        record has no "image" and `element` is not given, or numpy cannot read an element.
      ValueError: If `size` is not in [1, len(source)], or `start` is negative. During iteration: if
        the elements of a chunk differ in structure or shape.

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
    is_source = is_source and not isinstance(source, Mapping) and not _is_batch(source)
    expected, got = "records with a length and indices", checks.shown(source)
    advice = "For images and labels in arrays, pass list(zip(images, labels))."
    checks.require(is_source, "source", expected, got, advice, error=TypeError)
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
    """Stacks the leaves of elements of the same structure."""
    name, structures = f"Elements of chunk {number}", {*map(jax.tree.structure, elements)}
    expected, got = "of one structure", lambda: f"{sorted(map(str, structures))[:5]}"
    checks.require(len(structures) == 1, name, expected, got)
    columns = list(zip(*map(jax.tree.leaves, elements), strict=True))
    expected, got = "arrays, or tuples of arrays", checks.shown(elements[0])
    checks.require(len(columns) > 0, name, expected, got, error=TypeError)
    return jax.tree.unflatten(structures.pop(), [_stack_arrays(name, column) for column in columns])


def _stack_arrays(name: str, column: tuple[object, ...]) -> np.ndarray:
    arrays = [_as_array(name, value, "arrays") for value in column]
    shapes = sorted({array.shape for array in arrays})
    advice = "Crop or resize them in element."
    checks.require(len(shapes) == 1, name, "of one shape", f"{shapes[:5]}", advice)
    return np.stack(arrays)
