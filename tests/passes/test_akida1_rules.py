"""The rules of Akida 1: for every rule a network that breaks it alone, and some that obey all."""

import numpy as np
import pytest
from generators.networks import Builder, everything
from generators.neurons import Neurons, flattened, neurons

from cnn2snn_ir.diagnostics import CompileError, Diagnostics
from cnn2snn_ir.dialects import builtin, nn, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import F32, Tensor, si, ui
from cnn2snn_ir.passes.legality.akida1 import RULES
from cnn2snn_ir.passes.legality.check import illegalities
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import parse_pipeline

FUSE = "sink-biases, fold-thresholds, synthesize-thresholds, fuse-blocks{target=v1}"


def image(b, shape=(12, 12, 3), **options):
    return b.stem(b.input(shape), **options)


def layer(make):
    """A network whose second layer is made by `make(b, x)`."""

    def build():
        b = Neurons()
        return b.finish(make(b, image(b)))

    return build


def conv(**options):
    return layer(lambda b, x: b.fire(b.conv(x, "conv", 4, **({"bits": 4} | options)), "out"))


def first(shape=(12, 12, 3), **options):
    def build():
        b = Neurons()
        return b.finish(image(b, shape, **options))

    return build


def pooled(size=(2, 2), padding=Padding.SAME, average=False, **options):
    def make(b, x):
        x = b.emit(qnn.MaxPool(b.conv(x, "conv", 4, bits=4), size, size, padding), "pool", "QuantizedMaxPool2D")
        return b.fire(b.emit(qnn.SumPool(x, keepdims=True)) if average else x, "out")

    return layer(make)


def averaged(side, **options):
    def build():
        b = Neurons()
        x = b.emit(
            qnn.SumPool(b.conv(image(b, (*side, 3), **options), "conv", 4, bits=4)), "gap", "QuantizedGlobalAverage"
        )
        return b.finish(b.fire(x, "out", right=16))

    return build


def average_behind_relu(b, x):
    x = b.emit(qnn.SumPool(b.relu(b.conv(x, "conv", 4, bits=4))), "gap", "QuantizedGlobalAveragePooling2D")
    return b.requantize(x, "out", ui(4), 16)


def two_inputs():
    """With a layer for each, so that nothing but their number is wrong."""
    b = Neurons()
    x = image(b)
    second = b.emit(builtin.Input((12, 12, 3), ui(8)), "second")
    return b.finish(x, b.stem(second, "other"))


def rank_two_input():
    b = Neurons()
    x = b.emit(builtin.Input((4, 4), ui(4)), "input")
    return b.finish(b.dense(b.emit(qnn.Reshape(x, (16,))), "dense", 4, 4))


def float_before_integers():
    b = Neurons()
    x = b.emit(builtin.Input((8,), F32), "input")
    x = b.emit(nn.Activation(x, nn.Function.TANH), "tanh", "Activation")
    x = b.emit(qnn.Quantize(x, Tensor.of(np.asarray(4), si(16), "f"), si(4)), "quantizer")
    return b.finish(b.dense(x, "dense", 4, 4))


def joined():
    """Two inputs would be two readers of one layer, so it reads two models."""
    b = Neurons()
    x = image(b)
    fixed = b.emit(builtin.State("fixed", (12, 12, 4), ui(4)))
    b.graph.append(builtin.Store(fixed, "fixed"))
    return b.finish(b.emit(qnn.Concat((x, fixed), 3), "concat", "QuantizedConcatenate"))


def two_readers():
    b = Neurons()
    x = image(b)
    parts = [b.dense(b.emit(qnn.Reshape(x, (576,))), name, 2, 4) for name in ("left", "right")]
    return b.finish(*parts)


def remembering():
    b = Neurons()
    x = b.emit(builtin.State("last", (8,), ui(4)))
    b.graph.append(builtin.Store(b.input((8,), ui(4)), "last"))
    return b.finish(b.dense(x, "dense", 2, 4))


def inner_depthwise(b, x):
    return b.fire(b.depthwise(x, "dw", bits=4), "out")


def unactivated():
    b = Neurons()
    x = b.conv(image(b), "conv", 4, bits=4)
    return b.finish(b.fire(b.conv(x, "next", 4, bits=4), "out"))


def aligned(b, x):
    return b.fire(b.conv(b.align(x), "conv", 4, bits=4), "out")


def dense_on_a_map(b, x):
    return b.dense(x, "dense", 2, 4)


def two_buffers(b, x):
    weights = b.constant((3, 3, 4), si(4), "k")
    x = b.emit(qnn.DepthwiseConv2D(x, weights, acc=si(24)))
    x = b.emit(qnn.Conv2D(x, b.constant((1, 1, 4, 4), si(4), "k"), padding=Padding.VALID), "separable", "Separable")
    return b.fire(x, "out")


def lonely_relu(b, x):
    return b.emit(qnn.ReLU(x, Tensor.of(np.asarray(9), ui(8), "max")), "relu", "QuantizedReLU")


def vast_dense():
    b = Neurons()
    x = b.emit(qnn.Reshape(image(b, (70, 70, 3), filters=12), (70 * 70 * 12,)), "flatten")
    return b.finish(b.dense(x, "dense", 1, 4))


def wide_input():
    b = Neurons()
    return b.finish(b.dense(b.input((16,), ui(8)), "dense", 4, 4))


def unbounded(b, x):
    return b.fire(b.conv(x, "conv", 4, bits=4), "out", bounded=False)


def separable(bits=(4, 4), **options):
    return layer(lambda b, x: b.fire(b.separable(x, "separable", 4, bits=bits, **options), "out", right=14))


PAD = Tensor.of(np.asarray(3), si(16), "pad")
BREAKING = {
    "AK1-MODEL-01": two_inputs,
    "AK1-MODEL-02": rank_two_input,
    "AK1-MODEL-03": float_before_integers,
    "AK1-SEQ-01": joined,
    "AK1-SEQ-02": two_readers,
    "AK1-OP-01": layer(lambda b, x: b.emit(qnn.Transpose(x, (0, 2, 1, 3)), "permute", "QuantizedPermute")),
    "AK1-STATE-01": remembering,
    "AK1-CONV-01": conv(strides=(1, 2)),
    "AK1-CONV-02": conv(dilation=(2, 2)),
    "AK1-WEIGHT-01": conv(bits=3),
    "AK1-SEP-01": separable(bits=(2, 4)),
    "AK1-SEP-02": layer(inner_depthwise),
    "AK1-ACT-01": layer(unbounded),
    "AK1-ACT-02": layer(lambda b, x: b.requantize(b.relu(b.conv(x, "conv", 4, bits=4)), "out", ui(3))),
    "AK1-ACT-03": layer(aligned),
    "AK1-ACT-04": unactivated,
    "AK1-POOL-01": pooled(padding=Padding.VALID),
    "AK1-POOL-02": pooled(average=True),
    "AK1-POOL-03": layer(average_behind_relu),
    "AK1-POOL-04": averaged((17, 16)),
    "AK1-PAD-01": conv(pad_value=PAD),
    "AK1-PAD-02": conv(padding=Padding.SAME_UPPER),
    "AK1-DENSE-01": layer(dense_on_a_map),
    "AK1-ACC-01": layer(two_buffers),
    "AK1-LEFT-01": layer(lonely_relu),
    "AK1-MAP-01": conv(kernel=(5, 5), strides=(2, 2)),
    "AK1-MAP-02": conv(padding=Padding.VALID),
    "AK1-MAP-03": first(filters=193),
    "AK1-MAP-04": first((4, 12, 3)),
    "AK1-MAP-05": pooled(size=(3, 3)),
    "AK1-MAP-06": averaged((6, 9), strides=(3, 3)),
    "AK1-MAP-07": vast_dense,
    "AK1-MAP-08": wide_input,
    "AK1-MAP-09": conv(bits=8),
}


def codes(module):
    """All rules that a module breaks, before fusion and after."""
    PassManager(parse_pipeline("fold-scales")).run(module)
    found = Diagnostics(illegalities(module, RULES))
    PassManager(parse_pipeline(FUSE)).run(module)
    found.extend(illegalities(module, RULES))
    return found


FOLLOWS = {
    "AK1-SEQ-01": {"AK1-STATE-01"},
    "AK1-SEQ-02": {"AK1-MODEL-01"},
    "AK1-SEP-02": {"AK1-LEFT-01"},
    "AK1-ACT-03": {"AK1-LEFT-01"},
    "AK1-POOL-03": {"AK1-LEFT-01"},
}
"""What cannot be right either where a rule is broken."""


def test_every_rule_is_broken_once():
    assert list(BREAKING) == [rule.code for rule in RULES]
    assert len({rule.code for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("code", BREAKING)
def test_a_network_that_breaks_the_rule(code):
    found = codes(BREAKING[code]())
    assert {d.code for d in found} - FOLLOWS.get(code, set()) == {code}
    for diagnostic in found:
        assert diagnostic.where
        assert diagnostic.found
        assert diagnostic.allowed
        assert diagnostic.help


@pytest.mark.parametrize(
    "network", [neurons, flattened, conv(), pooled(), separable(), averaged((16, 16)), first(bits=4)]
)
def test_networks_that_obey_all_rules(network):
    assert not list(codes(network()))


def test_a_branch_is_named():
    b = Builder()
    left = b.requantize(b.relu(b.conv(b.input((8, 8, 3)), "stem", 4)), "stem_relu", ui(4))
    right = b.requantize(b.relu(b.conv(left, "side", 4, bits=4)), "side_relu", ui(4))
    module = b.finish(b.emit(qnn.Add(left, right), "sum", "QuantizedAdd"))
    found = {d.code: d.found for d in illegalities(module, RULES)}
    assert found["AK1-SEQ-01"] == "2 inputs: stem_relu (QuantizedReLU), side_relu (QuantizedReLU)"
    assert found["AK1-SEQ-02"] == "read by side and sum"


def test_a_model_for_akida_2_gets_every_reason_at_once():
    with pytest.raises(CompileError) as caught:
        PassManager(parse_pipeline("akida1-default")).run(everything())
    assert {d.code for d in caught.value.diagnostics} >= {"AK1-SEQ-01", "AK1-ACT-02", "AK1-SEP-02"}
