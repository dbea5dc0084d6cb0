"""What every op refuses: shapes that do not fit, constants of other channels, fields that contradict each other."""

import numpy as np
import pytest

from cnn2snn_ir.dialects import akida1, akida2, builtin, nn, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import F32, Graph, Tensor, TensorType, si, ui
from cnn2snn_ir.ir.verify import verify


def x(*shape, element=si(8)):
    return builtin.Input(shape or (8, 8, 2), element).result


def w(*shape, element=si(8), value=1):
    return Tensor.of(np.full(shape, value), element)


def f(*values):
    """One for all, or one a channel."""
    return Tensor.of(np.array(values[0] if len(values) == 1 else values, np.float32), F32)


def state(*shape, element=si(8), name="m"):
    return builtin.State(name, shape, element).result


def recurrent(at=None, real=None, imaginary=None, **options):
    """A legal recurrence of 4 states on a map [1, 6, 2], but for what is given."""
    values = (at or x(1, 6, 2), real or x(4, element=si(16)), imaginary or x(4, element=si(16)))
    constants = {"in_weights": w(2, 4), "weights": w(4, 3), "a_real": w(4), "a_imaginary": w(4)}
    return akida2.StatefulRecurrent(*values, **(constants | options))


SHAPES = {
    "rank of a map": (lambda: qnn.MaxPool(x(4), (2, 2), (2, 2)), "needs a feature map of 4 dimensions"),
    "a window too large": (
        lambda: qnn.MaxPool(x(3, 9, 2), (4, 2), (1, 1), Padding.VALID),
        "a window of 4 does not fit in 3",
    ),
    "weights of a convolution": (lambda: qnn.Conv2D(x(), w(3, 3, 2)), r"needs weights \[height, width, in, out\]"),
    "channels of a convolution": (lambda: qnn.Conv2D(x(), w(3, 3, 3, 4)), "has weights for 3 input channels"),
    "weights of a depthwise one": (lambda: qnn.DepthwiseConv2D(x(), w(3, 3, 2, 1)), r"\[height, width, channels\]"),
    "channels of a depthwise one": (lambda: qnn.DepthwiseConv2D(x(), w(3, 3, 3)), "has weights for 3 channels"),
    "channels of a transposed one": (
        lambda: qnn.Conv2DTranspose(x(), w(3, 3, 3, 4)),
        "has weights for 3 input channels",
    ),
    "weights of a transposed one": (lambda: qnn.Conv2DTranspose(x(), w(3, 3, 2)), "needs weights"),
    "a transposed depthwise one": (lambda: qnn.DepthwiseConv2DTranspose(x(), w(3, 3, 1)), "has weights for 1 channels"),
    "a matrix": (lambda: qnn.Dense(x(4), w(4)), r"needs weights \[in, out\]"),
    "a matrix of other inputs": (lambda: qnn.Dense(x(4), w(5, 3)), "has weights for 5 inputs"),
    "a sum": (lambda: qnn.Add(x(4), x(5), si(8)), "needs operands of one shape"),
    "nothing to join": (lambda: qnn.Concat((), 1), "needs at least one operand"),
    "joined along the batch": (lambda: qnn.Concat((x(4), x(4)), 0), "axis must be at least 1, found 0"),
    "joined beyond": (lambda: qnn.Concat((x(4), x(4)), 2), "needs an axis from 1 to 1, found 2"),
    "parts that differ": (lambda: qnn.Concat((x(4, 4, 2), x(4, 5, 2)), 3), "differ in dimension 3 only"),
    "parts of other ranks": (lambda: qnn.Concat((x(4, 4, 2), x(4)), 3), "differ in dimension 3 only"),
    "a table too short": (lambda: qnn.Lookup(x(4, element=ui(4)), w(15)), "needs a table with an entry for each ui4"),
    "a table of floats": (lambda: qnn.Lookup(x(4, element=F32), w(16)), "needs a table with an entry"),
    "a block of nothing": (lambda: qnn.Block(qnn.BlockKind.ADD, "a", Graph([builtin.Return(())])), "returns something"),
    "a body without an end": (lambda: qnn.Block(qnn.BlockKind.ADD, "a", Graph([])), "returns something"),
    "float axis": (lambda: nn.Softmax(x(4, element=F32), 2), "needs an axis below 2, found 2"),
    "float sum": (lambda: nn.Add(x(4, element=F32), x(5, element=F32)), "needs operands of one shape"),
    "float matrix": (lambda: nn.Dense(x(4, element=F32), f(1.0, 2.0)), "cannot multiply"),
    "depth to space": (lambda: nn.DepthToSpace(x(4, 4, 6, element=F32), 2), "needs channels divisible by 4"),
    "sum on the chip": (lambda: akida2.Add(x(4, 4, 2), x(4, 4, 3)), "needs operands of one shape"),
    "nothing to join on the chip": (lambda: akida2.Concatenate(()), "needs at least one operand"),
    "a FIFO of another width": (
        lambda: akida2.BufferTempConv(x(1, 1, 2), x(1, 2, 3, 2), w(1, 4, 2, 3)),
        "a FIFO of its",
    ),
    "a FIFO of other channels": (
        lambda: akida2.BufferTempConv(x(1, 1, 2), x(1, 1, 3, 3), w(1, 4, 2, 3)),
        "a FIFO of its",
    ),
    "a FIFO of another type": (
        lambda: akida2.BufferTempConv(x(1, 1, 2), x(1, 1, 3, 2, element=si(4)), w(1, 4, 2, 3)),
        "needs a FIFO of its feature map",
    ),
    "a FIFO of rank 4": (
        lambda: akida2.BufferTempConv(x(1, 1, 2), x(1, 3, 2), w(1, 4, 2, 3)),
        "a FIFO of feature maps",
    ),
    "a recurrence over a map": (lambda: recurrent(x(2, 6, 2)), "needs a map of height 1"),
    "a recurrence of few steps": (lambda: recurrent(subsample=7), "at least 7 steps"),
    "another real state": (lambda: recurrent(real=x(3, element=si(16))), "needs states"),
    "another imaginary state": (lambda: recurrent(imaginary=x(4, element=si(8))), "needs states"),
    "a target of another shape": (
        lambda: akida2.PicoPostProcessing(x(1, 6, 2), x(1, 5, 2), 3),
        "needs maps of height 1 and one shape",
    ),
    "a prediction of two rows": (
        lambda: akida2.PicoPostProcessing(x(2, 6, 2), x(2, 6, 2), 3),
        "needs maps of height 1 and one shape",
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_do_not_fit(name):
    build, words = SHAPES[name]
    with pytest.raises(ValueError, match=words):
        build()


def test_what_just_fits():
    assert qnn.MaxPool(x(4, 9, 2), (4, 2), (1, 1), Padding.VALID).results[0].type.shape == (None, 1, 8, 2)
    assert qnn.Concat((x(4, 4, 2), x(4, 4, 3)), 3).results[0].type.shape == (None, 4, 4, 5)
    assert qnn.Lookup(x(4, element=ui(4)), w(16)).results[0].type == TensorType((None, 4), si(8))
    assert recurrent(subsample=6).results[0].type.shape == (None, 1, 1, 3)
    assert recurrent(subsample=2).results[0].type.shape == (None, 1, 3, 3)
    assert nn.DepthToSpace(x(4, 4, 8, element=F32), 2).results[0].type.shape == (None, 8, 8, 2)


def faults(op):
    """What the verifier says of an op that stands alone, behind what it reads."""
    sources = dict.fromkeys(value.owner for value in op.operands)
    stores = [builtin.Store(s.result, s.sym_name) for s in sources if isinstance(s, builtin.State)]
    module = builtin.Module("m", Graph([*sources, op, *stores, builtin.Return(tuple(op.results))]))
    return [d.message for d in verify(module)]


def layer(**options):
    return akida2.Conv2D(x(), w(3, 3, 2, 4), **options)


def table(entries=16, element=si(8), activation=akida2.Activation.LUT, **options):
    return layer(activation=activation, lut_values=w(entries, element=element), **options)


def neurons(**options):
    return akida1.Convolutional(x(8, 8, 2, element=ui(4)), w(3, 3, 2, 4, element=si(4)), **options)


def levels(step, to=ui(4)):
    return neurons(threshold=w(element=si(20)), act_step=step, to=to)


FIELDS = {
    "input channels": (lambda: akida2.Conv2D(x(), w(3, 3, 3, 4)), "has weights for 3 input channels"),
    "a bias shift without a bias": (lambda: layer(bias_shift=w()), "has bias_shift but no bias"),
    "a bound without a relu": (lambda: layer(max_value=w(element=ui(8))), "has max_value but no relu activation"),
    "a table without its activation": (lambda: table(activation=akida2.Activation.RELU), "only for that"),
    "a lut without a table": (lambda: layer(activation=akida2.Activation.LUT), "needs lut_values for a lut"),
    "a table of two": (lambda: table(2), "needs a table of 2^2 to 2^16 values"),
    "a table of 17": (lambda: table(17), "needs a table of 2^2 to 2^16 values"),
    "a table of 2^17": (lambda: table(1 << 17), "needs a table of 2^2 to 2^16 values"),
    "in_weights": (lambda: recurrent(in_weights=w(3, 4)), "needs in_weights [2, 4]"),
    "a state of A": (lambda: recurrent(a_imaginary=w(3)), "a_imaginary must have no dimension, or one of 4"),
    "scales of new states": (lambda: recurrent(new_state_scales=w(3, element=ui(8))), "new_state_scales must have no"),
    "inputs of a dense layer": (lambda: akida2.Dense1D(x(5), w(4, 3)), "has weights for 4 inputs"),
    "a step without a type": (lambda: neurons(act_step=f(1.0)), "has either act_step and to, or neither"),
    "a step of 0": (lambda: levels(f(0.0)), "needs positive, finite steps"),
    "a step below 0": (lambda: levels(f(1.0, 2.0, -1.0, 1.0)), "needs positive, finite steps"),
    "an endless step": (lambda: levels(f(np.inf)), "needs positive, finite steps"),
    "a signed level": (lambda: levels(f(1.0), si(4)), "needs an unsigned result of at most 4 bits"),
    "levels of 5 bits": (lambda: levels(f(1.0), ui(5)), "needs an unsigned result of at most 4 bits"),
    "steps of other filters": (lambda: levels(f(1.0, 1.0)), "act_step must have no dimension, or one of 4"),
    "a shift of no bound": (lambda: qnn.ReLU(x(), shift=w()), "shift without max"),
    "thresholds of other channels": (lambda: qnn.Threshold(x(), w(3, 1, element=si(20)), ui(1)), "must be [2, levels]"),
    "a scale of 0": (lambda: qnn.QuantizeLinear(x(4, element=F32), f(0.0), si(8)), "needs a positive, finite scale"),
    "an endless scale": (lambda: qnn.QuantizeLinear(x(4, element=F32), f(np.inf), si(8)), "needs a positive, finite"),
    "a scale in integers": (lambda: qnn.QuantizeLinear(x(4, element=F32), w(), si(8)), "needs a float32 scale"),
    "scales of other channels": (lambda: akida2.Dequantizer(x(4), f(1.0, 2.0)), "scales must have no dimension"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields_that_contradict_each_other(name):
    build, words = FIELDS[name]
    (found,) = faults(build())
    assert words in found


@pytest.mark.parametrize(
    "build",
    [
        lambda: table(4),
        lambda: table(1 << 16),
        lambda: layer(bias=w(4), bias_shift=w(4)),
        lambda: layer(activation=akida2.Activation.RELU, max_value=w(4, element=ui(8)), max_value_shift=w()),
        lambda: recurrent(new_state_scales=w(4, element=ui(8)), new_state_shift=w()),
        lambda: levels(f(1.0, 0.5, 2.0, 1.0)),
        lambda: neurons(),
        lambda: qnn.Threshold(x(), w(2, 1, element=si(20)), ui(1)),
    ],
)
def test_fields_that_fit(build):
    assert faults(build()) == []


def streams(*ops):
    return [
        (d.message.split()[2], d.found)
        for d in verify(builtin.Module("m", Graph([*ops, builtin.Return((ops[0].result,))])))
        if d.code == "IR-STATE"
    ]


def test_a_memory_is_read_once_and_written_once_with_its_type():
    kind, other = "tensor<?x4xsi8>", "tensor<?x5xsi8>"

    def ops(*sizes):
        return *(builtin.State("m", (n,), si(8)) for n in sizes), builtin.Input((4,), si(8))

    a, given = ops(4)
    assert streams(a, builtin.Store(a.result, "m")) == []
    a, given = ops(4)
    assert streams(a) == [("m", f"states {kind}; stores none")]
    assert streams(given, builtin.Store(given.result, "m")) == [("m", f"states none; stores {kind}")]
    wrong, given = ops(5)
    assert streams(wrong, given, builtin.Store(given.result, "m")) == [("m", f"states {other}; stores {kind}")]
    a, twin, _ = ops(4, 4)
    stores = [builtin.Store(s.result, "m") for s in (a, twin)]
    assert streams(a, twin, *stores) == [("m", f"states {kind}, {kind}; stores {kind}, {kind}")]
