"""Values share memory only while they do not live at once, and a run needs little more than it cannot do without."""

import itertools
import tracemalloc

import numpy as np
import pytest

from benchmarks.nets import NETS
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.runtime.buffers import kind, shared
from cnn2snn_ir.runtime.engine import Engine, executed, two_largest
from cnn2snn_ir.runtime.storage import NO_BORDER


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
            assert kind(engine.layouts[a]) == kind(engine.layouts[b])


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
