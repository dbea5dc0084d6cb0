"""A recurrence between its projections, as one layer of the chip: exact at every level, with a memory of its own."""

import numpy as np
import pytest
from generators.networks import deciding, recurrent

from cnn2snn_ir.backends.program import dumps, loads
from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.ir import Graph, Tensor, si, ui
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import parse_pipeline
from cnn2snn_ir.reference import run_all
from cnn2snn_ir.runtime.model import Model
from cnn2snn_ir.runtime.numba_recurrence import RecurrenceStep, provable

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


OPTIONAL = (
    "bias",
    "bias_shift",
    "input_shift",
    "max_value",
    "max_value_shift",
    "to",
    "output_scales",
    "output_shift",
    "new_state_scales",
)

LAYERS = {
    "all": {},
    "plain": {"activation": "none"} | dict.fromkeys(OPTIONAL),
    "narrow accumulator": {"acc": si(14)},
    "narrow buffer": {"post_op": si(16)},
    "narrow recurrence": {"state_acc": si(20), "state": si(9)},
    "left shifts": {"new_state_shift": Tensor.of([1, 0, 2, 3], si(8)), "state_shift": 1},
    "far right": {"new_state_shift": Tensor.of(-70, si(8)), "state_shift": -62, "output_shift": Tensor.of(-80, si(8))},
    "one in three": {"subsample": 3, "part": 1},
    "no bound": {"max_value": None, "max_value_shift": None},
}  # fmt: skip


def layer(x, real, imaginary, **changes):
    rng = np.random.default_rng(3)
    variables = {
        "input_shift": Tensor.of([0, 2, 1], ui(4)),
        "new_state_scales": Tensor.of([200, 130, 255, 1], ui(8)),
        "new_state_shift": Tensor.of([-3, -2, -4, 1], si(8)),
        "state_shift": -15,
        "bias": Tensor.of(rng.integers(-128, 128, 5), si(8)),
        "bias_shift": Tensor.of([0, 3, 9, 2, 1], ui(8)),
        "activation": "relu",
        "max_value": Tensor.of(200, ui(8)),
        "max_value_shift": Tensor.of([6, 7, 8, 9, 10], ui(8)),
        "output_scales": Tensor.of([3, 250, 100, 77, 9], ui(8)),
        "output_shift": Tensor.of(-14, si(8)),
        "to": si(8),
    } | changes
    constants = [rng.integers(-128, 128, shape) for shape in ((3, 4), (4, 5))]
    a = [rng.integers(-(1 << 15), 1 << 15, 4) for _ in range(2)]
    weights = [*(Tensor.of(c, si(8)) for c in constants), *(Tensor.of(c, si(16)) for c in a)]
    variables["activation"] = akida2.Activation(variables["activation"])
    return akida2.StatefulRecurrent(x, real, imaginary, *weights, **variables, name="y")


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("changes", LAYERS.values(), ids=LAYERS)
def test_every_variable_of_the_layer(backend, changes):
    graph, state = Graph(), changes.get("state", si(16))
    x = graph.append(builtin.Input((1, 10, 3), si(16), name="x")).result
    memory = [graph.append(builtin.State(name, (4,), state, name=name)).result for name in ("r", "i")]
    op = graph.append(layer(x, *memory, **changes))
    for name, value in zip(("r", "i"), op.results[1:], strict=True):
        graph.append(builtin.Store(value, name))
    graph.append(builtin.Return((op.results[0],)))
    module, rng, ours, expected = builtin.Module("m", graph), np.random.default_rng(0), {}, {}
    model = Model(module, backend=backend)
    for _ in range(3):
        samples = rng.integers(-(1 << 15), 1 << 15, (4, 1, 10, 3)).astype(np.int16)
        wanted = run_all(module, samples, expected)["y_0"]
        assert np.array_equal(model.forward(samples, memory=ours), wanted)
        assert all(np.array_equal(ours[name], expected[name]) for name in ("r", "i"))


def test_sums_beyond_the_integers_of_float64_are_left_to_the_reference():
    op = next(op for op in program().body if isinstance(op, akida2.StatefulRecurrent))
    assert provable(op)
    op.weights = Tensor.of(op.weights.int64 << 36, si(44))
    assert not provable(op)


def test_the_compiled_loop_is_used():
    steps = Model(program(), backend="numba").engine.steps
    assert sum(isinstance(step, RecurrenceStep) for step in steps) == 2


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
