"""A recurrence between its projections, as one layer of the chip: exact at every level, with a memory of its own."""

import numpy as np
import pytest
from generators.networks import deciding, recurrent

from cnn2snn_ir.backends.program import dumps, loads
from cnn2snn_ir.dialects import akida2
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import parse_pipeline
from cnn2snn_ir.reference import run_all
from cnn2snn_ir.runtime.model import Model

CALLS, STREAMS = 12, 3
VARIANTS = {"plain": {}, "every step": {"subsample": 1}, "every third step": {"subsample": 3}, "imaginary": {"part": 1}}


def program(**options):
    module = recurrent(**options)
    PassManager(parse_pipeline("akida2-default")).run(module)
    return loads(dumps(module))


def calls(steps=8):
    return np.random.default_rng(0).integers(-20000, 20000, (CALLS, STREAMS, steps, 3)).astype(np.int16)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_streams_of_many_calls(backend, options):
    module = recurrent(**options)
    model, expected, ours = Model(program(**options), backend=backend), {}, {}
    assert [type(layer.op) for layer in model.layers].count(akida2.StatefulRecurrent) == 2
    for x in calls():
        wanted = run_all(module, x, expected)
        found = model.intermediates(x, memory=ours)
        for name in ("between", "dequantizer"):
            assert np.array_equal(found[name].reshape(-1), wanted[name].reshape(-1)), name
            assert len(np.unique(found[name])) > STREAMS
    assert sorted(ours) == ["first/imaginary", "first/real", "second/imaginary", "second/real"]
    for name, memory in expected.items():
        assert np.array_equal(ours[name], memory)


def test_the_memory_is_the_streams_own():
    model, x = Model(program()), calls()
    together = [model.forward(frame) for frame in x]
    memory = {}
    alone = [model.forward(frame[1:2], memory=memory) for frame in x]
    assert all(np.array_equal(one[0], all_[1]) for one, all_ in zip(alone, together, strict=True))
    assert not np.array_equal(model.forward(x[0]), together[0])
    model.reset()
    assert np.array_equal(model.forward(x[0]), together[0])


def test_all_constants_count_as_memory_of_the_chip():
    sizes = {layer.name: layer.weights_bytes for layer in Model(program()).layers}
    assert sizes["first_out"] == 3 * 4 + 4 * 5


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_decisions(backend):
    module, converted = deciding(4000), deciding(4000)
    PassManager(parse_pipeline("akida2-default")).run(converted)
    model, expected, ours, seen = Model(loads(dumps(converted)), backend=backend), {}, {}, set()
    assert any(isinstance(layer.op, akida2.PicoPostProcessing) for layer in model.layers)
    for x in calls() // 3:
        wanted = run_all(module, x, expected)["decision"]
        assert np.array_equal(model.predict(x, memory=ours), wanted)
        seen |= set(wanted.reshape(-1).tolist())
    assert seen == {0, 1}
