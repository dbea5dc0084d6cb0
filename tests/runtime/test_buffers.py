"""Values share memory only while they do not live at once, and a run needs little more than it cannot do without."""

import itertools
import tracemalloc

import numpy as np
import pytest

from benchmarks.nets import NETS
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.runtime.buffers import Buffers, shared, spoiled
from cnn2snn_ir.runtime.engine import Engine, Workspace, executed, two_largest
from cnn2snn_ir.runtime.storage import NO_BORDER, Layout


def lives(engine, kept):
    """For every value, the steps at which its memory must be its own."""
    ops = list(executed(engine.module))
    spans = dict.fromkeys(engine.given, (-1, -1))
    for index, op in enumerate(ops):
        spans |= dict.fromkeys(op.results, (index, index))
    for index, op in enumerate(ops):
        spans |= {value: (spans[value][0], index) for value in op.operands if value in spans}
    return {value: (first, len(ops) if value in kept else last) for value, (first, last) in spans.items()}


@pytest.mark.parametrize("name", list(NETS))
def test_values_that_live_at_once_share_nothing(name):
    engine = Engine(NETS[name]())
    kept = engine.last
    numbers = shared(engine.given, executed(engine.module), engine.layouts, kept)
    spans = lives(engine, kept)
    for a, b in itertools.combinations(spans, 2):
        if numbers[a] == numbers[b]:
            (a_first, a_last), (b_first, b_last) = spans[a], spans[b]
            assert a_last < b_first or b_last < a_first


def test_a_chain_of_like_maps_needs_two_buffers():
    engine = Engine(NETS["ds_cnn"](), threads=1)
    numbers = shared(engine.given, executed(engine.module), engine.layouts, ())
    maps = [value for value in numbers if engine.layouts[value].shape == (25, 5, 64)]
    bordered = [value for value in maps if engine.layouts[value].border != NO_BORDER]
    assert len(bordered) == 4
    assert len({numbers[value] for value in bordered}) == 1  # a pointwise layer reads what lies between them
    assert len({numbers[value] for value in maps}) == 2


@pytest.mark.parametrize("name", ["ds_cnn", "mnist", "vgg", "resnet", "unet"])
def test_a_large_batch_needs_less_than_its_two_largest_maps(name):
    """Chunks go through the network one by one: 256 samples need no more than weights, two maps and a quarter."""
    module = NETS[name]()
    (source,) = module.inputs
    images = np.zeros((256, *source.shape), np.uint8)
    engine = Engine(module, "numba", threads=2)
    engine.run(images[:1])
    tracemalloc.start()
    try:
        engine.run(images)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0 < peak < 1.25 * 256 * two_largest(module)


def test_every_value_can_be_asked_for_after_a_run_that_shared_them():
    """The memory of a run that keeps all values is another one."""
    engine = Engine(NETS["mnist"]())
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1)).astype(np.uint8)
    (alone,) = engine.run(images)
    values = [value for op in executed(engine.module) for value in op.results]
    everything = dict(zip(values, engine.run_values(images, values), strict=True))
    again = dict(zip(values, engine.run_values(images, values, batch_size=1), strict=True))
    assert all(np.array_equal(everything[value], again[value]) for value in values)
    np.testing.assert_array_equal(everything[engine.module.outputs[0]], alone)
    assert isinstance(engine.module, builtin.Module)


ROW = ((0, 0), (1, 2))
LAYOUTS = {
    "a": Layout((2, 3, 4), np.dtype(np.int16), ROW, np.array(7)),
    "b": Layout((2, 3, 4), np.dtype(np.int16), ROW, np.array(7)),
    "another fill": Layout((2, 3, 4), np.dtype(np.int16), ROW, np.arange(4)),
    "wide": Layout((2, 3, 4), np.dtype(np.int32), ROW, np.array(7)),
    "flat": Layout((30,), np.dtype(np.int16)),
}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a"], []),
        (["a", "b"], []),
        (["flat", "flat"], []),
        (["a", "flat"], ["a"]),
        (["flat", "a", "b"], ["a"]),
        (["a", "flat", "b"], ["a", "b"]),  # a run of fewer samples may have been the last to write a's border
        (["a", "b", "another fill"], ["a", "another fill"]),
        (["wide", "a"], ["wide", "a"]),
    ],
)
def test_a_border_is_written_again_where_another_kind_of_value_was(names, expected):
    assert spoiled(dict.fromkeys(names, 0), LAYOUTS) == set(expected)
    assert spoiled({name: number for number, name in enumerate(names)}, LAYOUTS) == set()


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_border_that_was_overwritten_is_as_it_was(backend, name):
    engine = Engine(NETS["mnist"](), backend)
    layout = LAYOUTS[name]
    buffer, fresh = layout.allocate(5), layout.allocate(5)
    buffer.padded[...] = 99
    (call,) = engine.backend.link([engine.backend.border(buffer)])
    call(3)
    buffer.inside[...] = fresh.inside[...] = 1
    np.testing.assert_array_equal(buffer.padded[:3], fresh.padded[:3])
    assert layout.border == NO_BORDER or (buffer.padded[3:] == 99).any(), "only as many samples as were asked for"


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("name", ["ds_cnn", "golden", "resnet", "unet", "stream"])
def test_memory_that_is_shared_gives_what_memory_of_its_own_gives(backend, name):
    """Runs of more and fewer samples follow each other in memory that is full of anything but its borders."""
    engine, rng = Engine(NETS[name](), backend), np.random.default_rng(0)
    tight, loose = (Workspace.allocate(engine, 6, complete) for complete in (False, True))
    assert tight.buffers.nbytes < loose.buffers.nbytes
    for count in (6, 1, 3, 6, 2, 5):
        given = [rng.integers(0, 100, (count, *array.shape[1:])) for array in tight.inputs]
        for workspace in (tight, loose):
            for target, array in zip(workspace.inputs, given, strict=True):
                target[:count] = array
            for call in workspace.calls:
                call(count)
        for value in engine.last:
            np.testing.assert_array_equal(
                tight.buffers[value].inside[:count], loose.buffers[value].inside[:count], err_msg=f"{count} samples"
            )


def test_the_places_of_a_map_and_those_around_it_are_all():
    for layout in LAYOUTS.values():
        places = [*layout.pixels(), *layout.around()]
        assert sorted(places) == list(range(0, layout.sample_size, layout.channels))
        sample = layout.allocate(1).padded.reshape(-1)
        sample[layout.around()] = 55
        assert not (layout.inside(sample.reshape(1, *layout.padded)) == 55).any()


def test_buffers_count_what_they_hold():
    numbers = {"a": 0, "flat": 0, "wide": 1}
    buffers = Buffers.allocate(LAYOUTS, numbers, 4)
    assert buffers.nbytes == LAYOUTS["a"].bytes_for(4) + LAYOUTS["wide"].bytes_for(4)
    scratch = buffers.scratch(LAYOUTS["b"])
    assert buffers.nbytes == sum(LAYOUTS[name].bytes_for(4) for name in ("a", "wide", "b"))
    buffers.bound()
    assert buffers.scratch(LAYOUTS["a"]).flat.ctypes.data == scratch.flat.ctypes.data
