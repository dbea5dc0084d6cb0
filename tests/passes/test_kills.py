"""Planted bugs: wrong rewrites, each of which validation must catch.

A kill is a small edit of a correct module, or of what a correct pass made of it, wrapped in a pass that promises
to be exact.  What survives shows a hole in the inputs that validation chooses or in the values that it compares.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from generators.networks import Builder, deciding, everything, recurrent

from cnn2snn_ir.dialects import akida2, builtin, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import F32, Tensor, si, ui
from cnn2snn_ir.ir.rewrite import Rewriter
from cnn2snn_ir.passes.base import Pass
from cnn2snn_ir.passes.convert_to_akida2 import ConvertToAkida2
from cnn2snn_ir.passes.fold_scales import FoldScales
from cnn2snn_ir.passes.fold_thresholds import FoldThresholds
from cnn2snn_ir.passes.instruments import PassFaultError, ValidateEach, VerifyEach, WholeTrial
from cnn2snn_ir.passes.legalize.equal_strides import EqualStrides
from cnn2snn_ir.passes.legalize.host_lone_ops import HostLoneOps
from cnn2snn_ir.passes.legalize.limit_fan_out import LimitFanOut
from cnn2snn_ir.passes.legalize.match_pool_padding import MatchPoolPadding
from cnn2snn_ir.passes.legalize.pad_kernels import PadKernels
from cnn2snn_ir.passes.legalize.round_pools_up import RoundPoolsUp
from cnn2snn_ir.passes.legalize.separate_pools import SeparatePools
from cnn2snn_ir.passes.legalize.separate_twins import SeparateTwins
from cnn2snn_ir.passes.legalize.split_concats import SplitConcats
from cnn2snn_ir.passes.legalize.split_depthwise import SplitDepthwise
from cnn2snn_ir.passes.legalize.square_kernels import SquareKernels
from cnn2snn_ir.passes.legalize.write_out_depthwise import WriteOutDepthwise
from cnn2snn_ir.passes.legalize.write_out_dilation import WriteOutDilation
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.materialize_alignment import MaterializeAlignment
from cnn2snn_ir.passes.pipeline import Pipeline, parse_pipeline

TO_BLOCKS = "canonicalize, fold-scales, materialize-alignment, fuse-blocks, qnn.block(canonicalize)"


@dataclass(frozen=True)
class Planted(Pass):
    """What the correct pass does, and then the bug."""

    name = "planted"

    bug: Callable[[builtin.Module], None]
    correct: Pass | None = None

    def run(self, op, context):
        if self.correct is not None:
            self.correct.run(op, context)
        self.bug(op)
        return True


@dataclass(frozen=True)
class Kill:
    """A bug, the network in which it matters, and where in a pipeline it sits."""

    bug: Callable[[builtin.Module], None]
    network: Callable[[], builtin.Module] = everything
    before: str = ""
    correct: Pass | None = None


# ---- networks -----------------------------------------------------------------------------------------------


def padded():
    """An input convolution with a padding value; stride 2 on an even map pads at the bottom and right only."""
    b = Builder(3)
    fill = Tensor.of([17, 40, 200], si(16), "pad")
    return b.finish(b.requantize(b.relu(b.conv(b.input((8, 8, 3)), "stem", 4, strides=(2, 2), pad_value=fill)), "out"))


def few_levels():
    """Accumulators small enough that every threshold is one of them."""
    b = Builder(1)
    x = b.input((12, 12, 4), si(8))
    weights = Tensor.of(np.eye(4, dtype=int).reshape(1, 1, 4, 4), si(8), "conv/kernel")
    x = b.bias(b.emit(qnn.Conv2D(x, weights), "conv"), "conv", most=0)
    return b.finish(b.requantize(b.relu(x, bounded=False), "out", to=ui(4), right=11))


def flattened():
    """A dense layer that reads a map, behind an alignment that saturates."""
    b = Builder(2)
    x = b.requantize(b.relu(b.conv(b.input((6, 6, 3)), "stem", 4)), "stem_relu")
    x = b.emit(qnn.Shift(x, Tensor.of([0, 1, 2, 0], si(8), "flatten/shift"), si(8)), "aligned")
    x = b.emit(qnn.Reshape(x, (144,)), "flatten")
    return b.finish(b.dequantize(b.dense(x, "dense", 3)))


def float_input():
    """An unsigned input quantizer with a zero point."""
    b = Builder(4)
    x = b.emit(builtin.Input((8, 8, 3), F32), "input")
    zero, bits = Tensor.of(np.asarray(31), si(9), "zero"), Tensor.of(np.asarray(6), si(16), "frac_bits")
    x = b.emit(qnn.Quantize(x, bits, si(9), zero), "quantizer")
    return b.finish(b.requantize(b.relu(b.conv(x, "stem", 4)), "out"))


def divided_input():
    """A float image that a quantizer divides."""
    b = Builder(5)
    x = b.emit(builtin.Input((8, 8, 3), F32), "input")
    zero, scale = Tensor.of(np.asarray(31), ui(8), "zero"), Tensor.of(np.float32(0.07), F32, "scale")
    x = b.emit(qnn.QuantizeLinear(x, scale, ui(8), zero), "quantizer")
    return b.finish(b.requantize(b.relu(b.conv(x, "stem", 4)), "out"))


def convolved(pool=None, **options):
    """One convolution that Akida 2 does not have, perhaps with a max pooling."""

    def build():
        b = Builder(6)
        x = b.conv(b.input((6, 6, 4), si(8)), "conv", 4, **options)
        x = x if pool is None else b.emit(qnn.MaxPool(x, *pool), "pool", "QuantizedMaxPool2D")
        return b.finish(b.requantize(b.relu(x, bounded=False), "out", right=20))

    return build


def narrow_map():
    """A convolution in one dimension, by strides in one direction."""
    b = Builder(7)
    x = b.conv(b.input((8, 1, 4), si(8)), "conv", 4, (3, 1), strides=(2, 1))
    return b.finish(b.requantize(b.relu(x, bounded=False), "out", right=19))


def large_depthwise():
    """A depthwise 5x5 with stride 2."""
    b = Builder(8)
    x = b.depthwise(b.input((6, 6, 4), si(8)), "dw", (5, 5), strides=(2, 2))
    return b.finish(b.requantize(b.relu(x, bounded=False), "out", right=18))


def averaged_depthwise():
    """A global average behind a depthwise convolution."""
    b = Builder(8)
    x = b.relu(b.depthwise(b.input((6, 6, 4), si(8)), "dw"), bounded=False)
    return b.finish(b.requantize(b.emit(qnn.SumPool(x, keepdims=True)), "out", right=20))


def unrectified_pool():
    """Max pooling of values of either sign."""
    b = Builder(9)
    x = b.conv(b.input((5, 5, 4), si(8)), "conv", 4)
    x = b.emit(qnn.MaxPool(x, (2, 2), (2, 2), Padding.SAME), "pool", "QuantizedMaxPool2D")
    return b.finish(b.requantize(x, "out", right=20))


def pooled_for_a_dense_layer():
    """A pooling that leaves out the last row and column."""
    b = Builder(12)
    x = b.emit(qnn.MaxPool(b.conv(b.input((5, 5, 4), si(8)), "conv", 4), (2, 2), (2, 2), Padding.VALID), "pool")
    x = b.requantize(b.relu(x, bounded=False), "out", right=20)
    return b.finish(b.dense(b.emit(qnn.Reshape(x, (16,)), "flatten"), "dense", 3))


def lone_relu():
    """A rectifier behind an addition."""
    b = Builder(10)
    x = b.input((4, 4, 4), si(8))
    y = b.requantize(b.conv(x, "conv", 4), "out", right=20)
    total = b.emit(qnn.Shift(b.emit(qnn.Add(x, y)), Tensor.of(np.asarray(-1), si(8), "half"), si(8)), "add")
    return b.finish(b.emit(qnn.ReLU(total), "relu", "QuantizedReLU"))


def three_times():
    """One map added to itself, shifted, and joined twice."""
    b = Builder(11)
    x = b.input((4, 4, 4), si(8))
    total = b.emit(qnn.Add(b.align(x, si(32)), b.align(x, si(32))))
    y = b.emit(qnn.Shift(total, Tensor.of(np.asarray(-2), si(8), "quarter"), si(8)), "add")
    return b.finish(b.emit(qnn.Concat((y, x, x), 3), "concat", "QuantizedConcatenate"))


def wide_range():
    """An accumulator of 17 bits and more."""
    b = Builder(5)
    return b.finish(b.requantize(b.relu(b.conv(b.input((6, 6, 3)), "stem", 4), bounded=False), "out"))


# ---- bugs at the qnn level ----------------------------------------------------------------------------------


def find(module, kind, where=lambda op: True):
    """The first op of a kind, nested ones included."""
    return next(op for op in module.walk() if isinstance(op, kind) and where(op))


def change(kind, field, edit, where=lambda op: True):
    """A bug that edits the array of one constant."""

    def bug(module):
        op = find(module, kind, lambda op: getattr(op, field) is not None and where(op))
        old = getattr(op, field)
        setattr(op, field, Tensor.of(edit(old.array), old.type.element, old.name))

    return bug


def assign(kind, where=lambda op: True, **fields):
    """A bug that gives an op other attributes."""

    def bug(module):
        op = find(module, kind, where)
        for name, value in fields.items():
            setattr(op, name, value)

    return bug


def drop(kind, where=lambda op: True):
    """A bug that forgets an op."""

    def bug(module):
        op = find(module, kind, where)
        Rewriter().replace_with(op, op.operands[0])

    return bug


def window_one_too_early(module):
    """`same` padding on the wrong side: the window starts one position early."""
    conv = find(module, qnn.Conv2D)
    kernel = conv.weights.array
    moved = np.zeros((5, 5, *kernel.shape[2:]), kernel.dtype)
    moved[:3, :3] = kernel  # a 5x5 window starts one position earlier; the right place would be [1:4, 1:4]
    conv.weights = Tensor.of(moved, si(8), conv.weights.name)


def add_before(shift, constants):
    """`shift.x + constants`, inserted before `shift`."""
    tensor = Tensor.of(constants, si(40), "half")
    op = qnn.BiasAdd(shift.x, tensor, Tensor.of(np.asarray(0), si(8), "zero"))
    shift.graph.insert_before(shift, op)
    return op.result


def halves(shift):
    """Half a step of a right shift, by channel."""
    moves = np.broadcast_to(-shift.shift.int64, (shift.x.type.channels,))
    return np.where(moves > 0, 1 << np.maximum(moves - 1, 0), 0)


def floor_for_round(module):
    shift = find(module, qnn.Shift, lambda op: isinstance(op.x.owner, qnn.Scale))
    shift.set_operand(0, add_before(shift, -halves(shift)))


def ties_to_even(module):
    """`rne(y) = ceil(y/2 - 1/4) + floor(y/2 + 1/4)`, with `y = x / 2^s` and each part as a rounding shift."""
    shift = find(module, qnn.Shift, lambda op: op.result.name == "add")
    further = Tensor.of(shift.shift.int64 - 1, si(8), shift.shift.name)
    parts = []
    for constants in (halves(shift) - 1, -halves(shift)):
        part = qnn.Shift(add_before(shift, constants), further, si(32))
        shift.graph.insert_before(shift, part)
        parts.append(part.result)
    total = qnn.Add(*parts, acc=si(32))
    shift.graph.insert_before(shift, total)
    zero = Tensor.of(np.asarray(0), si(8), shift.shift.name)
    Rewriter().replace(shift, qnn.Shift(total.result, zero, shift.to))


def narrower(name, bits):
    """A bug that saturates a value to fewer bits than its type has."""

    def bug(module):
        value = find(module, (qnn.Shift, qnn.Conv2D), lambda op: op.result.name == name).result
        zero = Tensor.of(np.asarray(0), si(8), "zero")
        narrow = qnn.Shift(value, zero, si(bits))
        wide = qnn.Shift(narrow.result, zero, value.type.element)
        value.owner.graph.insert_after(value.owner, narrow)
        value.owner.graph.insert_after(narrow, wide)
        value.replace_uses_where(wide.result, lambda use: use.op is not narrow)
        value.name, wide.result.name = None, name

    return bug


def swapped_parts(kind):
    def bug(module):
        concat = find(module, kind)
        concat.set_operands(concat.operands[::-1])

    return bug


def merge_rounding_shifts(module):
    """`round(round(x / 2) / 2^s)` is not `round(x / 2^(s + 1))`: what `merge-shifts` must not do."""
    last = find(module, qnn.Shift, lambda op: op.result.name == "add")
    first = qnn.Shift(last.x, Tensor.of(np.asarray(-1), si(8), "first"), si(32))
    last.graph.insert_before(last, first)
    last.set_operand(0, first.result)
    last.shift = Tensor.of(last.shift.int64 + 1, si(8), last.shift.name)


def swapped_flatten(weights):
    """Rows of the dense kernel for channels first, as if the map had been transposed before it was flattened."""
    return weights.reshape(6, 6, 4, -1).transpose(2, 0, 1, 3).reshape(weights.shape)


def folding(bug):
    """A bug in the thresholds that a correct folding found."""
    return Kill(bug, few_levels, "fold-scales", FoldThresholds())


# ---- bugs of the legalizations ------------------------------------------------------------------------------------


def legalized(bug, network, correct):
    """A bug in what a correct legalization made."""
    return Kill(bug, network, "fold-scales", correct)


def named(part):
    """Ops with a constant of that name."""
    return lambda op: part in op.weights.name


def moved(axis=(0, 1)):
    """A kernel with its zeros on the other side."""
    return lambda kernel: np.roll(kernel, 1, axis)


def last_piece_dropped(array):
    """The weights without those for the last piece of every channel."""
    kept = array.copy()
    kept[..., -4:] = 0
    return kept


def inner_parts_swapped(module):
    """`concat(concat(b, a), c)`."""
    inner = find(module, qnn.Concat)
    inner.set_operands(inner.operands[::-1])


def alignment_forgotten(module):
    """The copy of a tensor joins a sum as it is."""
    add = find(module, qnn.Add)
    add.set_operand(1, add.b.owner.x)


def rectified_before_the_bias(module):
    """The pieces of a pooling lose what lies below 0 before they are moved up."""
    bias = find(module, qnn.BiasAdd, lambda op: "offset" in op.bias.name)
    early = qnn.ReLU(bias.x)
    bias.graph.insert_before(bias, early)
    bias.set_operand(0, early.result)


# ---- bugs of the conversion ---------------------------------------------------------------------------------


def swapped_parts_of_a(module):
    op = find(module, akida2.StatefulRecurrent, lambda op: True)
    op.a_real, op.a_imaginary = op.a_imaginary, op.a_real


def memory_swapped(module):
    first, second = [op for op in module.body if isinstance(op, builtin.Store)][:2]
    real, imaginary = first.value, second.value
    first.set_operands([imaginary])
    second.set_operands([real])


def conversion(bug, network=everything):
    """A bug in the layers that a correct conversion made."""
    return Kill(bug, network, TO_BLOCKS, ConvertToAkida2())


def reverse(weights):
    return weights[::-1, ::-1]


def first_only(array):
    """The value of channel 0 for all channels."""
    return array[..., :1].reshape(())


def swapped_alignments(module):
    layer = find(module, akida2.Add)
    layer.a_shift, layer.b_shift = layer.b_shift, layer.a_shift


KILLS = {
    "threshold one too high": folding(change(qnn.Threshold, "thresholds", lambda t: t + 1)),
    "threshold one too low": folding(change(qnn.Threshold, "thresholds", lambda t: t - 1)),
    "base of the thresholds": folding(assign(qnn.Threshold, base=1)),
    "kernel axes swapped": Kill(change(qnn.Conv2D, "weights", lambda w: w.swapaxes(0, 1))),
    "padding value": Kill(change(qnn.Conv2D, "pad_value", lambda v: v + 1), padded),
    "padding value dropped": Kill(assign(qnn.Conv2D, pad_value=None), padded),
    "padding on the wrong side": Kill(window_one_too_early),
    "floor for round": Kill(floor_for_round),
    "ties to even": Kill(ties_to_even),
    "bias dropped": Kill(drop(qnn.BiasAdd)),
    "bound of ReLU dropped": Kill(assign(qnn.ReLU, max=None, shift=None)),
    "ReLU dropped": Kill(drop(qnn.ReLU)),
    "mantissas rolled": Kill(change(qnn.Scale, "mantissa", lambda m: np.roll(m, 1))),
    "mantissa off by one": Kill(change(qnn.Scale, "mantissa", lambda m: m - 1)),
    "shift off by one": Kill(change(qnn.Shift, "shift", lambda s: s + 1)),
    "rounding shifts merged": Kill(merge_rounding_shifts),
    "concat parts swapped": Kill(swapped_parts(qnn.Concat)),
    "alignment of one operand dropped": Kill(change(qnn.Shift, "shift", lambda s: s * 0, lambda op: op.to == si(32))),
    "narrower saturation": Kill(narrower("dw_relu", 7)),
    "narrower accumulator": Kill(narrower("stem", 17), wide_range),
    "narrower buffer of the product": Kill(assign(qnn.Requantize, buffer=si(20)), correct=FoldScales()),
    "max pooling replaced by subsampling": Kill(assign(qnn.MaxPool, size=(1, 1))),
    "zero point dropped": Kill(assign(qnn.Quantize, zero_point=None), float_input),
    "fractional bits of the input": Kill(change(qnn.Quantize, "frac_bits", lambda f: f - 1), float_input),
    "flatten order": Kill(change(qnn.Dense, "weights", swapped_flatten), flattened),
    "identity layer for another channel": Kill(
        change(qnn.Conv2D, "weights", lambda w: np.roll(w, 1, axis=3), lambda op: "identity" in op.weights.name),
        flattened, "canonicalize", MaterializeAlignment(),
    ),
    "zeros of an odd kernel on the wrong side": legalized(
        change(qnn.Conv2D, "weights", moved()), convolved(kernel=(2, 2)), PadKernels()
    ),
    "zeros of an odd kernel on the wrong side at stride 2": legalized(
        change(qnn.Conv2D, "weights", moved()), convolved(kernel=(4, 4), strides=(2, 2)), PadKernels()
    ),
    "zeros of a square kernel on the wrong side": legalized(
        change(qnn.Conv2D, "weights", moved(0)), convolved(kernel=(3, 5)), SquareKernels()
    ),
    "zeros of a dilated kernel in the wrong places": legalized(
        change(qnn.Conv2D, "weights", moved()), convolved(kernel=(2, 2), dilation=(2, 2)), WriteOutDilation()
    ),
    "a kernel on the diagonal behind its own": legalized(
        change(qnn.Conv2D, "weights", moved(3)), averaged_depthwise, WriteOutDepthwise()
    ),
    "zeros of a narrow kernel on the wrong side": legalized(
        change(qnn.Conv2D, "weights", moved(1)), narrow_map, EqualStrides()
    ),
    "the other of every other position": legalized(
        change(qnn.DepthwiseConv2D, "weights", moved(), named("every_other")), large_depthwise, SplitDepthwise()
    ),
    "a pooling that grew with its padding": legalized(
        assign(qnn.MaxPool, size=(3, 3)), convolved(((2, 2), (2, 2), Padding.VALID)), MatchPoolPadding()
    ),
    "subsampling in the place of a pooling": legalized(
        assign(qnn.MaxPool, size=(1, 1)), convolved(((2, 2), (3, 3), Padding.VALID)), SeparatePools()
    ),
    "zeros of a dense layer for the wrong rows": legalized(
        change(qnn.Dense, "weights", moved(0)), pooled_for_a_dense_layer, RoundPoolsUp()
    ),
    "a piece of a pooling dropped": legalized(
        change(qnn.Conv2D, "weights", last_piece_dropped, named("pieces")), unrectified_pool, SeparatePools()
    ),
    "a piece of a pooling rectified too early": legalized(
        rectified_before_the_bias, unrectified_pool, SeparatePools()
    ),
    "pieces of a pooling moved back to the wrong place": legalized(
        change(qnn.BiasAdd, "bias", lambda v: v + 1, lambda op: len(op.bias.array) == 4 and "offset" in op.bias.name),
        unrectified_pool, SeparatePools(),
    ),
    "a lone rectifier dropped": legalized(drop(qnn.ReLU), lone_relu, HostLoneOps()),
    "the identity of another channel": legalized(
        change(qnn.Conv2D, "weights", lambda w: np.roll(w, 1, axis=3), named("identity")), lone_relu, HostLoneOps()
    ),
    "pairs of a concatenation swapped": legalized(inner_parts_swapped, three_times, SplitConcats()),
    "alignment of a copied tensor forgotten": legalized(alignment_forgotten, three_times, SeparateTwins()),
    "a copy for another channel": legalized(
        change(qnn.Conv2D, "weights", lambda w: np.roll(w, 1, axis=3), named("identity")), three_times, LimitFanOut()
    ),
    "kernel not reversed": conversion(change(akida2.Conv2D, "weights", reverse, lambda op: len(op.weights.array) == 3)),
    "input kernel reversed": conversion(change(akida2.InputConv2D, "weights", reverse)),
    "depthwise kernel not reversed": conversion(change(akida2.DepthwiseConv2D, "weights", reverse)),
    "input shift dropped": conversion(assign(akida2.Conv2D, input_shift=None)),
    "bias shift off by one": conversion(change(akida2.Conv2D, "bias_shift", lambda s: s + 1)),
    "shift of the bound dropped": conversion(assign(akida2.InputConv2D, max_value_shift=None)),
    "output shift of one channel for all": conversion(change(akida2.Conv2D, "output_shift", first_only)),
    "alignments swapped": conversion(swapped_alignments),
    "layers joined in the wrong order": conversion(swapped_parts(akida2.Concatenate)),
    "scales of the dequantizer": conversion(change(akida2.Dequantizer, "scales", lambda s: s * 2)),
    "padding value not converted": conversion(assign(akida2.InputConv2D, padding_value=None), padded),
    "zero point not converted": conversion(assign(akida2.Quantizer, zero_points=None), float_input),
    "zero point of a division not converted": conversion(
        assign(akida2.LinearQuantizer, zero_points=None), divided_input
    ),
    "the reciprocal of a scale": conversion(
        change(akida2.LinearQuantizer, "scales", lambda s: 1 / s), divided_input
    ),
    "dense rows in the wrong order": conversion(change(akida2.Dense1D, "weights", swapped_flatten), flattened),
    "real and imaginary part of A swapped": conversion(swapped_parts_of_a, recurrent),
    "the other part of the state": conversion(assign(akida2.StatefulRecurrent, part=1), recurrent),
    "shift of the new state": conversion(
        change(akida2.StatefulRecurrent, "new_state_shift", lambda s: s - 1), recurrent
    ),
    "another threshold": conversion(assign(akida2.PicoPostProcessing, threshold=14000), deciding),
    "the prediction as it is": conversion(assign(akida2.PicoPostProcessing, input_scales=None), deciding),
    "parts of the memory swapped": conversion(memory_swapped, recurrent),
}  # fmt: skip


def caught_by_validation(kill):
    """What validation says to a bug, or None."""
    module = kill.network()
    PassManager(parse_pipeline(kill.before)).run(module)
    planted = Pipeline("builtin.module", (Planted(kill.bug, kill.correct),))
    try:
        PassManager(planted, [ValidateEach(2), VerifyEach()]).run(module)
    except PassFaultError as fault:
        return fault
    return None


@pytest.fixture(scope="module")
def faults():
    return {name: caught_by_validation(kill) for name, kill in KILLS.items()}


def test_every_planted_bug_is_caught(faults):
    caught = [name for name, fault in faults.items() if fault is not None]
    print(f"kill rate: {len(caught)} of {len(KILLS)}")
    assert [name for name in KILLS if name not in caught] == []
    assert len(caught) == len(KILLS) >= 16


@pytest.mark.parametrize("name", KILLS)
def test_the_trial_of_a_conversion_catches_it_too(name):
    kill = KILLS[name]
    module = kill.network()
    PassManager(parse_pipeline(kill.before)).run(module)
    trial = WholeTrial(module)
    assert list(trial.faults(module, "itself")) == []
    PassManager(Pipeline("builtin.module", (Planted(kill.bug, kill.correct),)), []).run(module)
    assert list(trial.faults(module, "here"))


@pytest.mark.parametrize("name", KILLS)
def test_the_fault_names_pass_value_and_both_numbers(faults, name):
    (diagnostic,) = faults[name].diagnostics
    assert diagnostic.code == "PASS-VALIDATE"
    assert diagnostic.where == "planted on builtin.module"
    assert re.match(r"(%\w+|output \d|memory [\w/]+) changes, and the pass promises exact", diagnostic.message)
    numbers = re.match(r"(\S+) after, (\S+) before, at \[[\d, ]*\] of input \d", diagnostic.found)
    assert numbers
    assert float(numbers[1]) != float(numbers[2])


@pytest.mark.parametrize(
    "network", [everything, padded, few_levels, flattened, float_input, wide_range, recurrent, deciding]
)
def test_the_real_pipelines_pass_the_same_validation(network):
    PassManager(parse_pipeline("akida2-default"), [ValidateEach(2)]).run(network())
    PassManager(parse_pipeline("fold-scales, fold-thresholds"), [ValidateEach(2)]).run(network())
