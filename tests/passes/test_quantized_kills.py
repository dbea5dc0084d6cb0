"""Planted bugs on the way from values quantized on the fly to integers, which validation must catch."""

import numpy as np
import pytest
from generators.planted import Planted, edit, layer, planted, swap, values

from cnn2snn_ir.dialects import builtin, nn, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.dialects.nn import Function
from cnn2snn_ir.ir import F32, Graph, Tensor, si, ui
from cnn2snn_ir.passes.base import EXACT
from cnn2snn_ir.passes.fit_requantizers import FitRequantizers
from cnn2snn_ir.passes.fold_quantized_activations import FoldQuantizedActivations
from cnn2snn_ir.passes.instruments import PassFaultError, ValidateEach, WholeTrial
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline, parse_pipeline
from cnn2snn_ir.passes.simplify_quantizers import SimplifyQuantizers
from cnn2snn_ir.passes.write_out_thresholds import WriteOutThresholds


def quantized():
    """Convolutions, a table, an addition of different steps, an average, and real outputs."""
    graph, rng = Graph(), np.random.default_rng(0)

    def emit(op, name=None):
        value = graph.append(op).results[0]
        value.name = name
        return value

    def tensor(array, element, name):
        return Tensor.of(np.asarray(array), element, name)

    def conv(x, name, filters):
        kernel = tensor(rng.integers(-127, 128, (3, 3, x.type.channels, filters)), si(8), f"{name}/kernel")
        bias = tensor(rng.normal(0, 0.3, filters), F32, f"{name}/bias")
        scale = tensor(rng.uniform(300, 800, filters), F32, f"{name}/scale")
        return emit(nn.Conv2D(x, kernel, bias, scale), name)

    def grid(x, name, step, to=si(8)):
        return emit(nn.FakeQuantize(x, tensor(np.float32(step), F32, f"{name}/step"), to), name)

    x = emit(nn.InputScaling(emit(builtin.Input((8, 8, 1), ui(8)), "input"), 255.0))
    x = grid(emit(nn.ReLU(conv(x, "first", 4))), "rectified", 0.011)
    x = grid(conv(x, "second", 4), "index", 0.004, si(11))
    x = grid(emit(nn.Activation(x, Function.SWISH)), "table", 0.02)
    a = emit(nn.MaxPool(conv(x, "third", 4), (2, 2), (2, 2), Padding.SAME))
    a = grid(emit(nn.ReLU(grid(a, "pooled", 0.02))), "again", 0.02)
    b = grid(conv(a, "fourth", 4), "branch", 0.04)
    x = grid(emit(nn.Add(a, b)), "sum", 0.04)
    x = emit(nn.ReLU(conv(x, "fifth", 6), 1.5))
    x = grid(emit(nn.GlobalAveragePool(x)), "mean", 0.01)
    kernel = tensor(rng.integers(-127, 128, (6, 3)), si(8), "dense/kernel")
    scale = tensor(rng.uniform(50, 90, 3), F32, "dense/scale")
    x = emit(nn.Dense(x, kernel, tensor(rng.normal(0, 1, 3), F32, "dense/bias"), scale), "dense")
    graph.append(builtin.Return((x,)))
    return builtin.Module("net", graph)


def without_statements(module):
    for op in module.body:
        op.annotations.pop("off_by", None)


def without(kind):
    """A bug that takes the first op of a kind out."""

    def bug(module):
        op = next(op for op in module.body if isinstance(op, kind))
        op.results[0].replace_all_uses_with(op.operands[0])
        op.erase()

    return bug


SIMPLE = "simplify-quantizers"
INTEGERS = f"{SIMPLE}, fold-quantized-activations, canonicalize"
FOLDING = {
    "a zero of the other sign": edit(layer(qnn.Rescale), "zero", values(np.negative)),
    "a step too large": edit(layer(qnn.Rescale, 1), "step", values(lambda a: a * 1.05)),
    "steps of other channels": edit(layer(qnn.Rescale, 2), "step", values(swap)),
    "nothing rectified": edit(layer(qnn.Rescale), "low", lambda low: None),
    "a table moved by one": edit(layer(qnn.Lookup), "table", values(lambda a: np.roll(a, 9))),
    "an operand not shifted": edit(layer(qnn.Shift, -1), "shift", values(lambda a: a * 0)),
    "a bound too low": edit(layer(qnn.ReLU), "max", values(lambda a: a // 20)),
    "a bias of another channel": edit(layer(qnn.BiasAdd, -1), "bias", values(swap)),
}
FITTING = {
    "a mantissa too large": edit(layer(qnn.Requantize), "mantissa", values(lambda a: np.minimum(a + 40, 255))),
    "a shift too far": edit(layer(qnn.Requantize, 1), "shift", values(lambda a: a - 1)),
    "a bias of another filter": edit(layer(qnn.BiasAdd), "bias", values(swap)),
    "a bias not shifted": edit(layer(qnn.BiasAdd), "shift", values(lambda a: a * 0)),
    "no rectifier": without(qnn.ReLU),
    "a sum not shifted back": edit(layer(qnn.Shift, -1), "shift", values(lambda a: a * 0)),
    "differences not stated": without_statements,
}
WRITING = {
    "thresholds one late": edit(layer(qnn.Threshold), "thresholds", values(lambda a: a + 300)),
    "levels of another channel": edit(layer(qnn.Threshold), "thresholds", values(lambda a: a[::-1])),
}
SIMPLIFYING = {
    "another grid": edit(layer(nn.FakeQuantize, 2), "scale", values(lambda a: a * 2)),
    "no rectifier": without(nn.ReLU),
}

KILLS = {
    **{f"folding: {name}": (SIMPLE, FoldQuantizedActivations(), bug) for name, bug in FOLDING.items()},
    **{f"fitting: {name}": (INTEGERS, FitRequantizers(), bug) for name, bug in FITTING.items()},
    **{f"writing out: {name}": (INTEGERS, WriteOutThresholds(), bug) for name, bug in WRITING.items()},
    **{f"simplifying: {name}": ("canonicalize", SimplifyQuantizers(), bug) for name, bug in SIMPLIFYING.items()},
}
"""The passes before, the pass, and a bug in what it makes."""


def prepared(before):
    module = quantized()
    PassManager(parse_pipeline(before), []).run(module)
    return module


@pytest.mark.parametrize("name", KILLS)
def test_validation_catches_it(name):
    before, correct, bug = KILLS[name]
    with pytest.raises(PassFaultError):
        PassManager(planted(correct, bug), [ValidateEach(4)]).run(prepared(before))


@pytest.mark.parametrize("name", KILLS)
def test_the_trial_of_a_conversion_catches_it(name):
    before, correct, bug = KILLS[name]
    module = prepared(before)
    trial = WholeTrial(module)

    def convert():
        PassManager(planted(correct, bug), [trial]).run(module)
        trial.check(module, "here", EXACT if correct.contract == EXACT else correct.contract)

    with pytest.raises(PassFaultError):
        convert()


@pytest.mark.parametrize("name", ["folding", "fitting", "writing out", "simplifying"])
def test_without_a_bug_nothing_is_caught(name):
    before, correct, _ = next(kill for key, kill in KILLS.items() if key.startswith(name))
    module = prepared(before)
    trial = WholeTrial(module)
    PassManager(Pipeline(MODULE, (Planted(correct, lambda module: None),)), [trial, ValidateEach(2)]).run(module)
