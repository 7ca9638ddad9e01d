"""Compares streamed training with training on the device, and tests the order of reads."""

import functools
import itertools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import BATCH, SHAPE, assert_trees_equal, make_gan

from jaxgan import streaming, training


class OnGpu:
    """Represents a tensor that numpy cannot read."""

    shape, ndim = (2,), 1

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("copy it first\nand read it then")


class TestStream:
    @pytest.fixture
    def train(self, gan):
        return jax.jit(functools.partial(training.epochs, gan, batch_size=BATCH), donate_argnums=0)

    def test_stream_equals_training_on_each_chunk_in_turn(self, state, train, uint8_images):
        chunks = [uint8_images[:11], uint8_images[11:22], uint8_images[5:16]]
        expected = jax.tree.map(jnp.copy, state)
        for chunk in chunks:
            expected, _ = train(expected, jnp.asarray(chunk))
        *_, (streamed, metrics) = streaming.stream(train, state, iter(chunks))
        assert_trees_equal(streamed, expected)
        assert metrics["generator_loss"].shape == (1, 2)

    def test_next_chunk_is_read_during_training(self, state):
        """Training waits until the second chunk is read, so reading it later would hang."""
        second_is_read = threading.Event()

        def source():
            yield np.zeros(1)
            second_is_read.set()
            yield np.ones(1)

        def train(state, chunk):
            second_is_read.wait()
            return state, {}

        assert len(list(streaming.stream(train, state, source()))) == 2

    def test_at_most_one_chunk_is_read_ahead(self, state):
        read = []

        def source():
            for i in range(5):
                read.append(i)
                yield np.full(1, i)

        for count, _ in enumerate(
            streaming.stream(lambda state, chunk: (state, {}), state, source()), start=1
        ):
            assert len(read) <= count + 1
        assert read == [0, 1, 2, 3, 4]

    def test_source_can_reuse_its_buffer(self, state):
        def source():
            buffer = np.zeros((1000, 28, 28, 1), np.uint8)
            for i in range(4):
                buffer[:] = i
                yield buffer

        seen = []

        def train(state, images):
            seen.append(images)
            return state, {}

        for _ in streaming.stream(train, state, source()):
            pass
        assert [int(images.max()) for images in seen] == [0, 1, 2, 3]
        assert [int(images.min()) for images in seen] == [0, 1, 2, 3]

    def test_chunk_can_be_any_pytree_of_arrays(self, state):
        chunk = {"pair": (np.zeros((2, 3)), np.ones((2, 4), np.int8)), "other": np.arange(2)}
        ((_, metrics),) = streaming.stream(lambda state, chunk: (state, chunk), state, [chunk])
        assert_trees_equal(metrics, jax.tree.map(jnp.asarray, chunk))

    def test_labels_are_passed_to_train(self, state):
        chunks = [(np.zeros((2, *SHAPE), np.uint8), np.array([3, 4]))]
        train = lambda state, chunk: (state, {"labels": chunk[1]})
        ((_, metrics),) = streaming.stream(train, state, chunks)
        np.testing.assert_array_equal(metrics["labels"], [3, 4])

    @pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, lambda f: jax.vmap(jax.jit(f))])
    @pytest.mark.parametrize("function", [training.epochs, training.steps])
    @pytest.mark.parametrize("labels", [[0, 3], [-1, 2]])
    def test_labels_out_of_range_are_rejected_before_training(self, state, wrap, function, labels):
        gan = make_gan(num_classes=3)
        train = wrap(functools.partial(functools.partial(function, gan), batch_size=2))
        images = np.zeros((2, *SHAPE), np.uint8)
        stream = streaming.stream(train, state, [(images, np.array(labels))])
        expected = rf"Labels must be in \[0, 3\); got {labels[0]} to {labels[1]}, shape \(2,\)"
        with pytest.raises(ValueError, match=expected):
            next(stream)

    def test_record_in_place_of_a_chunk_is_named(self, state):
        train = functools.partial(training.epochs, make_gan(num_classes=3), batch_size=2)
        stream = streaming.stream(train, state, [(np.zeros(SHAPE, np.uint8), np.int32(2))])
        expected = r"Chunk 0 must be arrays with the same first axis; got .* \[\(4, 4, 1\), \(\)\]"
        with pytest.raises(ValueError, match=expected):
            next(stream)

    def test_labels_of_own_functions_are_not_checked(self, state):
        train = functools.partial(lambda gan, state, chunk: (state, {}), make_gan())
        chunks = [(np.zeros((2, *SHAPE), np.uint8), np.array([7.5, -1]))]
        assert len(list(streaming.stream(train, state, chunks))) == 1

    @pytest.mark.parametrize(
        "chunks", [np.zeros((2, *SHAPE)), (np.zeros((2, *SHAPE)), np.zeros(2)), {}, "ab"]
    )
    def test_single_chunk_in_place_of_chunks_is_rejected(self, state, chunks):
        expected = r"chunks must be an iterable of chunks; got .*Pass \[\(images, labels\)\]"
        with pytest.raises(TypeError, match=expected):
            streaming.stream(lambda *x: x, state, chunks)

    def test_masks_are_rejected(self, gan, state):
        masks = np.arange(2 * SHAPE[0] * SHAPE[1], dtype=np.uint8).reshape(2, *SHAPE) % 2
        expected = r"Chunk 0 must be in \[0, 255\], not masks; got 0 to 1\. Multiply masks"
        train = functools.partial(training.epochs, gan, batch_size=2)
        with pytest.raises(ValueError, match=expected):
            next(streaming.stream(train, state, [masks]))

    def test_unreadable_tensor_is_rejected(self, state):
        stream = streaming.stream(lambda *x: x, state, [(np.zeros(2), OnGpu())])
        expected = r"Chunk 0 must be an array, or a tuple or dict of arrays; got <.*>"
        with pytest.raises(TypeError, match=expected):
            next(stream)

    def test_tensors_of_pytorch_are_read(self, state):
        torch = pytest.importorskip("torch")
        train = lambda state, chunk: (state, dict(zip(("images", "labels"), chunk, strict=True)))
        chunk = (torch.full((2, *SHAPE), 5, dtype=torch.uint8), torch.tensor([3, 4]))
        ((_, metrics),) = streaming.stream(train, state, [chunk])
        np.testing.assert_array_equal(metrics["images"], np.full((2, *SHAPE), 5, np.uint8))
        np.testing.assert_array_equal(metrics["labels"], [3, 4])
        with pytest.raises(TypeError, match=r"Chunk 0 must be an array, .* requires grad"):
            next(streaming.stream(train, state, [torch.ones(2, requires_grad=True)]))
        with pytest.raises(TypeError, match=r"got \[tensor.*Convert it to a tuple of arrays"):
            next(streaming.stream(train, state, [list(chunk)]))

    def test_source_error_is_raised_after_the_chunks_before_it(self, state):
        def source():
            yield np.zeros(1)
            raise OSError("the disk is gone")

        stream = streaming.stream(lambda state, chunk: (state, {}), state, source())
        next(stream)
        with pytest.raises(OSError, match="the disk is gone"):
            next(stream)

    @pytest.mark.parametrize("chunk", [None, "text", [[1], [1, 2]], (np.zeros(1), object())])
    def test_non_array_chunk_is_rejected_after_the_chunks_before_it(self, state, chunk):
        chunks = [np.zeros(1), chunk]
        stream = streaming.stream(lambda state, chunk: (state, {}), state, chunks)
        next(stream)
        with pytest.raises(
            TypeError, match="Chunk 1 must be an array, or a tuple or dict of arrays; got"
        ):
            next(stream)

    def test_unreadable_torch_tensor_is_rejected(self, state, torch_tensor):
        stream = streaming.stream(lambda state, chunk: (state, {}), state, [torch_tensor])
        with pytest.raises(TypeError, match=r"Chunk 0 must be an array.*; got a torch tensor of"):
            next(stream)

    def test_closed_stream_leaves_no_thread(self, state):
        threads = set(threading.enumerate())
        chunks = (np.zeros(1) for _ in range(5))
        stream = streaming.stream(lambda state, chunk: (state, {}), state, chunks)
        next(stream)
        stream.close()
        assert set(threading.enumerate()) <= threads

    def test_empty_source_gives_no_results(self, state):
        assert list(streaming.stream(lambda state, chunk: (state, {}), state, [])) == []


class TestChunks:
    def read(self, num, size, *, start=0, take=1, seed=0):
        key = jax.random.key(seed)
        stream = streaming.chunks(range(num), size, key=key, start=start, element=np.int64)
        return [next(stream) for _ in range(take)]

    def test_passes_read_each_record_at_most_once_and_differ(self):
        first, second = self.read(10, 3, take=6)[:3], self.read(10, 3, take=6)[3:]
        for one_pass in (first, second):
            assert len(np.unique(one_pass)) == 9
            assert set(np.ravel(one_pass)) <= set(range(10))
        assert not np.array_equal(first, second)

    def test_stream_can_start_at_any_chunk(self):
        np.testing.assert_array_equal(
            self.read(10, 3, take=6)[2:], self.read(10, 3, start=2, take=4)
        )

    def test_order_depends_on_the_key(self):
        assert not np.array_equal(self.read(1000, 100), self.read(1000, 100, seed=1))

    def test_getitems_reads_a_chunk_in_one_call(self):
        class Source(list):
            def __getitems__(self, numbers):
                requests.append(numbers)
                return [self[i] for i in numbers]

        requests = []
        source = Source({"image": np.full(SHAPE, i, np.uint8), "label": i} for i in range(6))
        pair = lambda record: (record["image"], record["label"])
        images, labels = next(streaming.chunks(source, 4, key=jax.random.key(0), element=pair))
        assert requests == [labels.tolist()]
        assert images.shape == (4, *SHAPE)
        np.testing.assert_array_equal(images[:, 0, 0, 0], labels)

    @pytest.mark.parametrize(("size", "expected"), [(0, "at least 1"), (7, "at most 6")])
    def test_out_of_range_sizes_are_rejected(self, size, expected):
        with pytest.raises(ValueError, match=f"size must be {expected}; got {size}"):
            streaming.chunks(range(6), size, key=jax.random.key(0))

    @pytest.mark.parametrize(
        ("record", "shown"),
        [
            ((np.zeros(SHAPE), 3), r"\(array"),
            ({"img": 3, "label": 4}, r"\{'img': 3, 'label': 4\}"),
            (np.zeros(SHAPE, np.uint8), r"uint8 of shape \(4, 4, 1\)"),
            (3, "3"),
        ],
    )
    def test_record_without_an_image_is_named(self, record, shown):
        read = streaming.chunks([record] * 4, 2, key=jax.random.key(0))
        expected = (
            f"Each record must be a dict with the key 'image'; got (?s:{shown}.*) Pass element"
        )
        with pytest.raises(TypeError, match=expected):
            next(read)

    @pytest.mark.parametrize(
        "source",
        [
            {"image": np.zeros((6, *SHAPE))},
            (np.zeros((6, *SHAPE)), np.zeros(6)),
            [np.zeros((6, *SHAPE)), np.zeros(6)],
            {i: i for i in range(6)},
        ],
    )
    def test_arrays_in_place_of_records_are_rejected(self, source):
        expected = r"source must be records .*; got (?s:.*)pass list\(zip\(images, labels\)\)"
        with pytest.raises(TypeError, match=expected):
            streaming.chunks(source, 2, key=jax.random.key(0))

    def test_records_of_image_and_label_are_read(self):
        records = list(zip(np.zeros((6, *SHAPE), np.uint8), range(6), strict=True))
        read = streaming.chunks(records, 6, key=jax.random.key(0), element=lambda record: record)
        images, labels = next(read)
        assert images.shape == (6, *SHAPE)
        assert sorted(labels) == [0, 1, 2, 3, 4, 5]

    @pytest.mark.parametrize(
        ("elements", "error", "expected"),
        [
            ([np.zeros(2), (np.zeros(2), 1)], ValueError, r"of one structure; got \['PyTreeDef"),
            ([{"a": 1}, {"b": 1}], ValueError, "of one structure"),
            ([np.zeros(2), [np.zeros(2)]], ValueError, "of one structure"),
            (["a", "b"], TypeError, "arrays; got '[ab]'"),
            ([None, None], TypeError, "arrays, or tuples of arrays; got None"),
            ([object(), object()], TypeError, "arrays; got <object"),
        ],
    )
    def test_cause_of_unstackable_elements_is_named(self, elements, error, expected):
        read = streaming.chunks(elements, 2, key=jax.random.key(0), element=lambda record: record)
        with pytest.raises(error, match=f"Elements of chunk 0 must be {expected}"):
            next(read)

    def test_unreadable_element_is_rejected(self):
        read = streaming.chunks([OnGpu()] * 2, 2, key=jax.random.key(0), element=lambda x: x)
        with pytest.raises(TypeError, match=r"Elements of chunk 0 must be arrays; got <.*>"):
            next(read)

    def test_elements_of_several_shapes_are_rejected(self):
        source = [np.zeros(n) for n in (1, 1, 1, 2)]
        read = streaming.chunks(source, 4, key=jax.random.key(0), element=lambda record: record)
        with pytest.raises(ValueError, match=r"Elements of chunk 0 must be of one shape; .*\(2,\)"):
            next(read)

    def test_streamed_run_resumes_exactly(self, gan, state, uint8_images):
        """A run in two parts is bit-identical: chunks and batches depend only on (seed, step)."""
        source = [{"image": image} for image in uint8_images]
        train = jax.jit(functools.partial(training.epochs, gan, batch_size=BATCH))
        key = jax.random.key(7)

        def run(state, start, num):
            some = itertools.islice(streaming.chunks(source, 10, key=key, start=start), num)
            *_, (state, _) = streaming.stream(train, state, some)
            return state

        assert_trees_equal(run(run(state, 0, 2), 2, 3), run(state, 0, 5))
