"""Compares streamed training with training on the device, and tests the order of reads."""

import functools
import itertools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import BATCH, SHAPE, assert_trees_equal

from jaxgan import streaming, training


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

    def test_labels_are_passed_to_train(self, state):
        chunks = [(np.zeros((2, *SHAPE), np.uint8), np.array([3, 4]))]
        train = lambda state, images, labels: (state, {"labels": labels})
        ((_, metrics),) = streaming.stream(train, state, chunks)
        np.testing.assert_array_equal(metrics["labels"], [3, 4])

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
        stream = streaming.stream(lambda state, *chunk: (state, {}), state, chunks)
        next(stream)
        with pytest.raises(TypeError, match="Chunk 1 must be an array, or a tuple of arrays; got"):
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
