"""Events are what `np.count_nonzero` says of the values, however a run is cut, and counting keeps no value."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import numpy as np
import pytest
from generators.neurons import random_neurons
from generators.recorded import EXAMPLES, FIXTURES
from generators.streams import FRAMES, streaming_program
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn2snn_ir import reference
from cnn2snn_ir.api import compile_model
from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.ir import F32, Graph, Tensor, si, ui
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import parse_pipeline
from cnn2snn_ir.passes.trial import Trial
from cnn2snn_ir.runtime.engine import Engine
from cnn2snn_ir.runtime.events import Counted, EventCounter, MapEvents, count_events, counted
from cnn2snn_ir.runtime.model import Model
from cnn2snn_ir.runtime.storage import Layout

BACKENDS = ("numpy", "numba")
both = pytest.mark.parametrize("backend", BACKENDS)
some = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def reference_values(module, x, memory):
    """Every value by the reference semantics: what is given, what is remembered, what ops give; and the outputs."""
    values = {}
    outputs = reference.run(module, x, lambda op, array: values.update({op.results[0]: array}), memory)
    return values, outputs


def integers_of_the_chip(module):
    """What must be counted, by another way than the counter's: from each value to its readers."""
    for op in module.body:
        for value in op.results:
            if value.type.element.is_float:
                continue
            chip = [user for user in value.users if user.op_name.startswith("akida")]
            host = [user for user in value.users if user not in chip and not isinstance(user, builtin.Store)]
            if chip or (host and op.op_name.startswith("akida")):
                yield value


def check(events, module, values, frames):
    """Counts of all maps against the values themselves."""
    wanted = list(integers_of_the_chip(module))
    assert len(events) == len(wanted) > 0
    for value in wanted:
        found, array = events.of(value), np.concatenate([step[value] for step in values])
        height, width, channels = found.shape
        array = array.reshape(frames, height, width, channels)
        assert found.frames == frames
        assert found.rows.dtype == np.int32
        assert found.channels.dtype == np.int64
        np.testing.assert_array_equal(found.rows, np.count_nonzero(array, axis=(2, 3)), err_msg=repr(value))
        np.testing.assert_array_equal(found.channels, np.count_nonzero(array, axis=(0, 1, 2)), err_msg=repr(value))
        np.testing.assert_array_equal(found.total, np.count_nonzero(array, axis=(1, 2, 3)))
        assert found.density == pytest.approx(np.count_nonzero(array) / array.size)
        if value.name is not None:
            assert events[value.name] is found


def check_steps(module, backend, threads, batch_size, steps):
    """One counter over all steps of a stream, or over batches one after the other."""
    engine = Engine(module, backend, threads)
    counter, ours, theirs, values = EventCounter(engine), {}, {}, []
    for x in steps:
        found, outputs = reference_values(module, x, theirs)
        values.append(found)
        got = engine.run_values(x, module.outputs, batch_size, ours, counter)
        for array, wanted in zip(got, outputs, strict=True):
            np.testing.assert_array_equal(array, wanted)
    check(counter.counts, module, values, sum(map(len, steps)))


@both
@some
@given(data=st.data())
def test_random_akida2_programs(backend, modules, inputs, data):
    module = data.draw(modules)
    samples, threads = data.draw(st.sampled_from([1, 3, 7])), data.draw(st.sampled_from([1, 2, 3]))
    x = inputs(module, samples)
    check_steps(module, backend, threads, data.draw(st.sampled_from([None, 1, 2])), [x, x[::-1]])


@settings(some, max_examples=20)
@given(module=random_neurons(), batch_size=st.sampled_from([None, 1, 2]))
def test_random_akida1_programs(module, batch_size):
    PassManager(parse_pipeline("akida1-default")).run(module)
    (x,) = Trial.of(module, 3).inputs.values()
    for backend in BACKENDS:
        check_steps(module, backend, 2, batch_size, [x, x[:1]])


@pytest.fixture(scope="module")
def digits():
    with np.load(EXAMPLES / "mnist_1000.npz") as archive:
        return archive["x"][:150]


@both
@pytest.mark.parametrize(
    ("name", "target"),
    [("mnist_v2_i8_w8_a8", "v2"), ("mnist_v1_i8_w4_a4_qat", "v1"), ("mnist_legacy_iq8_wq4_aq4", "v1")],
)
def test_examples(backend, name, target, digits):
    """Against the engine's own values, which other tests compare with Keras's."""
    module, _ = compile_model(EXAMPLES / f"{name}.h5", target=target)
    model = Model(module, backend=backend, threads=2)
    outputs, events = count_events(model, digits)
    np.testing.assert_array_equal(outputs[0], model.predict(digits))
    wanted = list(integers_of_the_chip(module))
    check(events, module, [dict(zip(wanted, model.engine.run_values(digits, wanted), strict=True))], len(digits))
    values = model.intermediates(digits)
    compared = [key for key in events if key in values]
    assert len(compared) >= 4
    for key in compared:
        array = values[key].reshape(len(digits), *events[key].shape)
        np.testing.assert_array_equal(events[key].rows, np.count_nonzero(array, axis=(2, 3)), err_msg=key)
    _, again = count_events(Engine(module, backend, 1), digits, batch_size=7)
    assert all((again[key].rows == found.rows).all() for key, found in events.items())
    assert sum(found.mean for found in events.values()) > 1000


@both
@pytest.mark.parametrize("name", ["kws_i8_w8_a8", "skip_888", "spatiotemporal_i8_w8_a8"])
def test_recorded_models(backend, name, inputs):
    (path,) = FIXTURES.rglob(f"{name}.h5")
    module, _ = compile_model(path)
    x = inputs(module, 9)
    check_steps(module, backend, 2, None, [x, x[::-1], x])


@both
def test_a_stream_counts_its_frames_and_its_fifos(backend):
    module = streaming_program()
    check_steps(module, backend, 2, None, list(FRAMES))
    assert module.states
    _, events = count_events(Engine(module, backend), FRAMES[0])
    for op in module.states:
        assert events.of(op.result).total.sum() == 0  # nothing is remembered yet
        assert events.of(op.result).size == np.prod(op.shape)


@both
def test_a_models_own_streams_are_left_alone(backend):
    model, twin = (Model(streaming_program(), backend=backend) for _ in range(2))
    for frame in FRAMES:
        counted, _ = count_events(model, frame)
        np.testing.assert_array_equal(counted[0], twin.engine.run(frame)[0])
    for frame in FRAMES:
        np.testing.assert_array_equal(model.predict(frame), twin.predict(frame))


# ---- the counting itself ----------------------------------------------------------------------------------------


def filled(layout, samples, rng, density):
    """A buffer of sparse values between a border and old samples that are all events."""
    buffer = layout.allocate(samples + 1)
    buffer.flat[...] = 77
    shape = (samples, *layout.shape)
    buffer.inside[:samples] = rng.choice([-3, 1, 100], shape) * (rng.random(shape) < density)
    return buffer


def counts_of(engine, buffers, samples, heights, channels):
    rows, totals = np.full((samples, sum(heights)), -1, np.int32), np.zeros(sum(channels), np.int64)
    engine.backend.counting(buffers, heights, channels)(rows, totals)
    return rows, totals


SHAPES = st.one_of(
    st.tuples(st.integers(1, 70)),
    st.tuples(st.integers(1, 9), st.integers(1, 40)),
    st.tuples(st.integers(1, 9), st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 20)),
)
DTYPES = {"numba": (np.int16, np.int16, np.int32, np.int64), "numpy": (np.float32, np.float64, np.int64)}


@both
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_shape_border_and_number_type(backend, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    engine, samples = ENGINES[backend], data.draw(st.integers(0, 4))
    buffers, heights, channels = [], [], []
    for shape in data.draw(st.lists(SHAPES, min_size=1, max_size=3)):
        border = data.draw(st.tuples(*[st.tuples(*[st.integers(0, 2)] * 2)] * 2)) if len(shape) == 3 else ((0, 0),) * 2
        layout = Layout(shape, np.dtype(data.draw(st.sampled_from(DTYPES[backend]))), border)
        buffers.append(filled(layout, samples, rng, data.draw(st.sampled_from([0, 0.3, 1]))))
        heights.append(shape[0] if len(shape) > 2 else 1)
        channels.append(int(np.prod(shape[2:])) if len(shape) > 2 else shape[-1])
    rows, totals = counts_of(engine, buffers, samples, heights, channels)
    maps = []
    for buffer, height, depth in zip(buffers, heights, channels, strict=True):
        width = int(np.prod(buffer.layout.shape)) // height // depth
        maps.append(buffer.inside[:samples].reshape(samples, height, width, depth))
    np.testing.assert_array_equal(rows, np.concatenate([np.count_nonzero(x, axis=(2, 3)) for x in maps], axis=1))
    np.testing.assert_array_equal(totals, np.concatenate([np.count_nonzero(x, axis=(0, 1, 2)) for x in maps]))


@both
@pytest.mark.parametrize("dtype", [np.int16, np.int64])
def test_more_rows_than_a_narrow_counter_holds(backend, dtype):
    layout = Layout((40_000, 1, 3), np.dtype(dtype if backend == "numba" else np.float32))
    buffer = filled(layout, 4, np.random.default_rng(0), 1)
    rows, totals = counts_of(ENGINES[backend], [buffer], 4, [40_000], [3])
    assert (rows == 3).all()
    assert totals.tolist() == [160_000] * 3


def tiny(samples_type=ui(8)) -> builtin.Module:
    """Two convolutions without names, and one number a sample."""
    rng, graph = np.random.default_rng(0), Graph()
    x = graph.append(builtin.Input((16, 16, 2), samples_type, name="input")).result
    if samples_type.is_float:
        x = graph.append(akida2.Quantizer(x, Tensor.of(np.float32(2), F32), si(8), name="quantizer")).result
    requantized = {"output_scales": Tensor.of(200, ui(8)), "output_shift": Tensor.of(-17, si(8)), "to": si(8)}
    for _ in range(2):
        weights = Tensor.of(rng.integers(-128, 128, (3, 3, x.type.channels, 8)), si(8))
        x = graph.append(akida2.Conv2D(x, weights, activation=akida2.Activation.RELU, **requantized)).result
    weights = Tensor.of(rng.integers(-8, 8, (16 * 16 * 8, 1)), si(4))
    x = graph.append(akida2.Dense1D(x, weights, name="dense")).result
    graph.append(builtin.Return((x,)))
    return builtin.Module("tiny", graph)


ENGINES = {name: Engine(tiny(si(8)), name, threads=2) for name in BACKENDS}


def test_values_without_names_have_keys_of_their_own():
    engine = Engine(tiny(F32), "numpy")
    _, events = count_events(engine, np.ones((2, 16, 16, 2), np.float32))
    assert list(events) == ["quantizer", "conv2d", "conv2d_1", "dense"]  # floats are no events
    assert events["quantizer"].density == 1
    assert events["conv2d_1"].shape == (16, 16, 8)
    assert "input" not in events


def test_a_memory_that_is_an_output_too_goes_to_the_host():
    """What is only stored stays on the chip."""
    module = streaming_program()
    pushed = [op.result for op in module.body if isinstance(op, akida2.FifoPush)]
    before = counted(module)
    assert not set(pushed) & set(before)
    end = module.terminator
    module.body.insert_before(end, builtin.Return((*end.operands, pushed[0])))
    end.erase()
    assert set(counted(module)) == {*before, pushed[0]} == set(integers_of_the_chip(module))


@both
def test_no_samples(backend):
    outputs, events = count_events(ENGINES[backend], np.zeros((0, 16, 16, 2), np.int8))
    assert len(outputs[0]) == 0
    for found in [*events.values(), *EventCounter(ENGINES[backend]).counts.values()]:
        assert (found.frames, found.mean, found.density, found.channels.sum()) == (0, 0, 0, 0)
        assert sum(found.histogram()) == 0


@both
def test_memory_does_not_grow_with_the_samples(backend):
    """Beyond the counts and the outputs, 4,000 samples need what 1,000 do; a single map of them is 8 MB as bytes."""
    engine = Engine(tiny(si(8)), backend, threads=1)
    x = np.random.default_rng(0).integers(-128, 128, (4000, 16, 16, 2)).astype(np.int8)

    def needed(samples):
        tracemalloc.start()
        try:
            outputs, events = count_events(engine, x[:samples])
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        kept = sum(a.nbytes for a in outputs) + sum(e.rows.nbytes + e.channels.nbytes for e in events.values())
        return peak - kept

    needed(1000)  # workspaces and compiled code
    assert needed(4000) < needed(1000) + 100_000


def test_what_is_counted_goes_with_its_engine():
    engine = Engine(tiny(si(8)), "numba")
    count_events(engine, np.ones((3, 16, 16, 2), np.int8))
    known = len(Counted._of)
    seen = weakref.ref(engine)
    del engine
    gc.collect()
    assert seen() is None
    assert len(Counted._of) < known


# ---- the observer -----------------------------------------------------------------------------------------------


class Recorder:
    """Keeps what it is shown of one value."""

    def __init__(self, value):
        self.value, self.samples, self.chunks = value, [], []

    def begin(self, samples):
        self.samples.append(samples)

    def __call__(self, chunk):
        self.chunks.append((chunk.start, chunk.end, chunk.buffer(self.value).inside[: chunk.end - chunk.start].copy()))


@both
def test_an_observer_sees_each_sample_once(backend):
    engine = ENGINES[backend]
    x = np.random.default_rng(0).integers(-128, 128, (333, 16, 16, 2)).astype(np.int8)
    recorder = Recorder(engine.source.outputs[0])
    (expected,) = engine.run_values(x, engine.source.outputs, observer=recorder)
    chunks = sorted(recorder.chunks, key=lambda chunk: chunk[0])
    assert recorder.samples == [333]
    assert len(chunks) > 1
    assert [start for start, _, _ in chunks] == [0, *(end for _, end, _ in chunks[:-1])]
    np.testing.assert_array_equal(np.concatenate([array for _, _, array in chunks]), expected)


def test_what_an_observer_raises_ends_the_run():
    class Broken(Recorder):
        def __call__(self, chunk):
            raise ZeroDivisionError

    engine, x = ENGINES["numba"], np.zeros((200, 16, 16, 2), np.int8)
    with pytest.raises(ZeroDivisionError):
        engine.run_values(x, engine.source.outputs, observer=Broken(None))
    assert engine.run(x)[0].shape[0] == 200


# ---- what is made of the counts ---------------------------------------------------------------------------------


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 40), st.integers(1, 30), st.integers(0, 999))
def test_histogram_and_bands(frames, height, length, bins, seed):
    rows = np.random.default_rng(seed).integers(0, length + 1, (frames, height)).astype(np.int32)
    found = MapEvents(rows, np.zeros(1, np.int64), (height, length, 1))
    expected = [0] * bins
    for count in rows.reshape(-1).tolist():
        place = max(b for b in range(bins) if b * length <= count * bins)
        expected[place] += 1
    assert found.histogram(bins) == tuple(expected)
    assert found.total.tolist() == rows.sum(axis=1).tolist()
    assert found.band(1, height).tolist() == rows[:, 1:].sum(axis=1).tolist()
    assert sum(found.band(0, height // 2) + found.band(height // 2, height)) == rows.sum()
    assert found.mean == pytest.approx(rows.sum() / frames)
