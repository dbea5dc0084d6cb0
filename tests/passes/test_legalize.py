"""Legalizations compute what the model computes, on any map, and turn refusals into programs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from generators.networks import Builder
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from cnn2snn_ir.api import compile_model
from cnn2snn_ir.diagnostics import CompileError, Severity
from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.geometry import Padding, extent
from cnn2snn_ir.ir import Tensor, si, ui
from cnn2snn_ir.passes.base import PassContext
from cnn2snn_ir.passes.default_pipelines import LEGALIZATIONS, akida2_default
from cnn2snn_ir.passes.instruments import CheckChanged, ValidateEach, VerifyEach, VerifyRoundTrip
from cnn2snn_ir.passes.legalize.legalization import LEGALIZED
from cnn2snn_ir.passes.legalize.windows import Axis
from cnn2snn_ir.passes.legalize.windows import axes as pool_axes
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import parse_pipeline
from cnn2snn_ir.reference import run as interpret
from cnn2snn_ir.tools.cnn2snn import main

MAP = (9, 9, 4)
few = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(few, max_examples=300)


def legalize(module, pipeline="akida2-legalize"):
    """Run legalizations under all instruments; what they said, and why not."""
    context = PassContext()
    checks = [ValidateEach(2), CheckChanged(), VerifyRoundTrip(), VerifyEach()]
    PassManager(parse_pipeline(pipeline), checks).run(module, context)
    return context


def only(module, kind):
    (op,) = (op for op in module.body if isinstance(op, kind))
    return op


# ---- geometry, by trying every window ---------------------------------------------------------------------------


def positions(axis):
    """What every window of an axis reads; None beyond the map."""
    starts = (o * axis.stride - axis.before for o in range(axis.count))
    return [[p if 0 <= p < axis.size else None for p in range(s, s + axis.kernel)] for s in starts]


axes = st.builds(Axis, st.integers(1, 9), st.integers(1, 7), st.integers(1, 4), st.sampled_from(Padding))


@given(axes, axes)
@few
def test_a_kernel_lies_where_every_window_reads_the_same(old, new):
    new = Axis(old.size, new.kernel, new.stride, new.padding)
    offset = old.offset_in(new)
    event("fits" if offset is not None else "does not")
    if offset is not None:
        assert [window[offset : offset + old.kernel] for window in positions(new)] == positions(old)


@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 3), st.integers(0, 3))
@few
def test_with_same_padding_every_larger_kernel_does(size, kernel, stride, more):
    assert (
        Axis(size, kernel, stride, Padding.SAME).offset_in(Axis(size, kernel + more, stride, Padding.SAME)) is not None
    )


# ---- kernels of any shape ------------------------------------------------------------------------------------------


@st.composite
def convolutions(draw):
    """A convolution of any kernel, stride, padding and dilation, with or without a rectifier and a pooling."""
    b = Builder(draw(st.integers(0, 999)))
    image = draw(st.booleans())
    size = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    x = b.input((*size, 3), ui(8)) if image else b.input((*size, 2), si(8))
    kernel = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 3)]))
    padding = draw(st.sampled_from(Padding))
    spans = [extent(k, d) for k, d in zip(kernel, dilation, strict=True)]
    assume(padding is Padding.SAME or all(s <= n for s, n in zip(spans, size, strict=True)))
    strides = draw(st.sampled_from([(1, 1), (2, 2), (2, 1), (1, 3)]))
    options = {"kernel": kernel, "dilation": dilation, "padding": padding, "strides": strides}
    fill = {"pad_value": Tensor.of([9, 200, 30], si(16), "pad")} if image and draw(st.booleans()) else {}
    depthwise = not image and draw(st.booleans())
    x = b.depthwise(x, "conv", **options) if depthwise else b.conv(x, "conv", 2, **options, **fill)
    if draw(st.booleans()):
        window = draw(st.integers(1, 3))
        border = draw(st.sampled_from(Padding))
        assume(border is Padding.SAME or window <= min(x.type.per_sample[:2]))
        x = b.emit(qnn.MaxPool(x, (window,) * 2, (draw(st.integers(1, 2)),) * 2, border), "pool", "QuantizedMaxPool2D")
    x = b.relu(x, draw(st.booleans())) if draw(st.booleans()) else x
    return b.finish(b.requantize(x, "out", *draw(st.sampled_from([(si(8), 17), (si(4), 22)]))))


def is_legal_or_says_why(module):
    context = legalize(module)
    assert all(d.severity is Severity.REMARK for d in context.diagnostics)
    for op in module.body:
        if not isinstance(op, (qnn.Conv2D, qnn.DepthwiseConv2D)):
            continue
        height, width = op.weights.type.shape[:2]
        legal = height == width and op.strides[0] == op.strides[1] and op.dilation == (1, 1)
        event("legal" if legal else "left alone")
        assert legal or context.why_not


test_any_convolution = few(given(convolutions())(is_legal_or_says_why))
test_many_convolutions = pytest.mark.slow(many(given(convolutions())(is_legal_or_says_why)))


def test_dilation_of_a_3x3_is_a_5x5():
    b = Builder()
    module = b.finish(b.conv(b.input(MAP, si(8)), "conv", 4, dilation=(2, 2)))
    kernel = only(module, qnn.Conv2D).weights.array
    legalize(module)
    written = only(module, qnn.Conv2D).weights.array
    assert np.array_equal(written[::2, ::2], kernel)
    assert not written[1::2].any()
    assert not written[:, 1::2].any()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 8), (8, 9), (9, 9)])
@pytest.mark.parametrize("kernel", [2, 4, 6])
def test_even_kernels_become_odd(kernel, size, stride):
    b = Builder()
    x = b.conv(b.input((*size, 4), si(8)), "conv", 4, (kernel, kernel), strides=(stride, stride))
    module = b.finish(x)
    legalize(module)
    assert only(module, qnn.Conv2D).weights.type.shape[:2] == (kernel + 1, kernel + 1)


# ---- poolings --------------------------------------------------------------------------------------------------------


@given(st.integers(-128, 127), st.integers(-128, 127), st.integers(1, 3), st.sampled_from(Padding), st.integers(0, 99))
@few
def test_poolings_of_any_range(low, high, stride, padding, seed):
    """The pieces of a pooling add up, wherever the values lie."""
    low, high = sorted((low, high))
    b = Builder(seed)
    x = b.input((5, 4, 2), si(8))
    zero = Tensor.of(np.asarray(0), si(8), "zero")
    up = b.emit(qnn.BiasAdd(b.emit(qnn.Shift(x, zero, si(28))), Tensor.of([-low] * 2, si(9), "low"), zero))
    bounded = b.emit(qnn.ReLU(up, Tensor.of(np.asarray(high - low), ui(8), "span")))
    down = b.emit(qnn.BiasAdd(bounded, Tensor.of([low] * 2, si(9), "low"), zero))
    y = b.emit(qnn.MaxPool(b.emit(qnn.Shift(down, zero, si(8))), (2, 2), (stride, stride), padding), "pool")
    module = b.finish(y)
    context = legalize(module, "separate-pools")
    assert [d.code for d in context.diagnostics] == [LEGALIZED]
    layers = sum(isinstance(op, qnn.Conv2D) for op in module.body)
    assert layers == (1 if low >= 0 else 2)


@given(st.integers(2, 7), st.integers(2, 7), st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
@few
def test_dense_layers_ignore_what_a_pooling_adds(rows, columns, size, stride, seed):
    assume(size <= min(rows, columns))
    b = Builder(seed)
    x = b.conv(b.input((rows, columns, 2), si(8)), "conv", 3)
    x = b.emit(qnn.MaxPool(x, (size, size), (stride, stride), Padding.VALID), "pool")
    x = b.requantize(b.relu(x), "out")
    x = b.align(b.emit(qnn.Reshape(x, (int(np.prod(x.type.per_sample)),)), "flatten"))
    module = b.finish(b.dense(x, "dense", 3))
    for op in module.body:
        if isinstance(op, qnn.Shift) and op.to == si(28):
            op.shift = Tensor.of(np.asarray(2), si(8), "alignment")
    legalize(module, "fold-scales, match-pool-padding, round-pools-up")
    pool = only(module, qnn.MaxPool)
    event(str(pool.padding))
    assert pool.padding is Padding.SAME or any(a.before for a in map(as_same, pool_axes(pool)))


def as_same(axis):
    return replace(axis, padding=Padding.SAME)


# ---- from a refusal to a program -------------------------------------------------------------------------------------


def stem(b):
    return b.requantize(b.relu(b.conv(b.input((12, 12, 3)), "stem", 8)), "stem_relu")


def one(**options):
    def build():
        b = Builder()
        return b.finish(b.requantize(b.relu(b.conv(stem(b), "conv2", 8, **options)), "out", right=17))

    return build


def depthwise(right=18, **options):
    def build():
        b = Builder()
        return b.finish(b.requantize(b.relu(b.depthwise(stem(b), "dw", **options)), "out", right=right))

    return build


def depthwise_average():
    """A global average behind a depthwise convolution, which is one layer."""
    b = Builder()
    x = b.relu(b.depthwise(stem(b), "dw"))
    return b.finish(b.requantize(b.emit(qnn.SumPool(x, keepdims=True)), "out", right=22))


def pooled(size=2, stride=2, padding=Padding.VALID, active=True, **options):
    def build():
        b = Builder()
        x = b.conv(stem(b), "conv2", 8, **options)
        x = b.emit(qnn.MaxPool(x, (size, size), (stride, stride), padding), "pool", "QuantizedMaxPool2D")
        return b.finish(b.requantize(b.relu(x) if active else x, "out", right=20))

    return build


def flattened():
    b = Builder()
    x = b.conv(b.input((9, 9, 3)), "conv2", 4)
    x = b.emit(qnn.MaxPool(x, (2, 2), (2, 2), Padding.VALID), "pool", "QuantizedMaxPool2D")
    x = b.emit(qnn.Reshape(b.requantize(b.relu(x), "out"), (64,)), "flatten")
    return b.finish(b.requantize(b.dense(x, "dense", 5), "classes"))


def conv1d():
    b = Builder()
    x = b.input((16, 1, 4), si(8))
    return b.finish(b.requantize(b.relu(b.conv(x, "conv1d", 8, (5, 1), strides=(2, 1))), "out"))


def residual(*tail):
    """An addition, and what nobody computes behind it."""

    def build():
        b = Builder()
        x = stem(b)
        y = b.requantize(b.relu(b.conv(x, "conv", 8)), "conv_relu", right=20)
        total = b.emit(qnn.Add(b.align(x, si(32)), b.align(y, si(32))))
        y = b.emit(qnn.Shift(total, b.constant((8,), si(8), "add/shift", -3, -1), si(8)), "add", "QuantizedAdd")
        for layer in tail:
            y = layer(b, y)
        return b.finish(y)

    return build


def relu(b, x):
    return b.emit(qnn.ReLU(x), "relu", "QuantizedReLU")


def average(b, x):
    return b.requantize(b.emit(qnn.SumPool(x)), "gap", right=14)


def lone_pool(b, x):
    return b.emit(qnn.MaxPool(x, (3, 3), (2, 2), Padding.VALID), "pool", "QuantizedMaxPool2D")


def rescaled(b, x):
    return b.requantize(x, "rescaled", ui(4), right=11)


def joined(count):
    def build():
        b = Builder()
        x = stem(b)
        parts = [b.requantize(b.relu(b.conv(x, f"conv_{i}", 4)), f"relu_{i}", right=20) for i in range(count)]
        return b.finish(b.emit(qnn.Concat((*parts, parts[0]), 3), "concat", "QuantizedConcatenate"))

    return build


def branches():
    b = Builder()
    x = stem(b)
    first, second, third = (b.requantize(b.relu(b.conv(x, f"conv_{i}", 4)), f"relu_{i}", right=20) for i in range(3))
    pair = b.emit(qnn.Concat((first, second), 3), "pair", "QuantizedConcatenate")
    return b.finish(b.emit(qnn.Concat((pair, third), 3), "concat", "QuantizedConcatenate"))


def doubled():
    b = Builder()
    x = stem(b)
    total = b.emit(qnn.Add(b.align(x, si(32)), b.align(x, si(32))))
    return b.finish(
        b.emit(qnn.Shift(total, b.constant((8,), si(8), "add/shift", -3, -1), si(8)), "add", "QuantizedAdd")
    )


REFUSED = {
    "square": (one(kernel=(3, 5)), "AK2-CONV-01", "square-kernels made the 3x5 kernel of conv2 5x5"),
    "dilated": (one(dilation=(2, 2)), "AK2-CONV-03", "write-out-dilation wrote out the 3x3 kernel of conv2"),
    "both": (one(kernel=(2, 3), dilation=(2, 2)), "AK2-CONV-01", "square-kernels made the 3x5 kernel of conv2 5x5"),
    "one direction": (conv1d, "AK2-CONV-02", "equal-strides made the strides of conv1d 2 in both directions"),
    "tiled": (pooled(), "AK2-POOL-01", "match-pool-padding gave pool same padding"),
    "odd": (pooled(3), "AK2-POOL-01", "separate-pools put the pooling pool behind the output of its layer"),
    "floor": (flattened, "AK2-POOL-01", "round-pools-up let the pooling pool include the last row and column"),
    "inactive": (pooled(active=False, padding=Padding.SAME), "AK2-POOL-03", "made two layers for the pooling pool"),
    "lone relu": (residual(relu), "AK2-LEFT-01", "host-lone-ops put an identity layer before relu"),
    "relu, average": (residual(relu, average), "AK2-LEFT-01", "host-lone-ops put an identity layer before relu"),
    "average": (residual(average), "AK2-LEFT-01", "host-lone-ops put an identity layer before"),
    "lone pool": (residual(lone_pool), "AK2-LEFT-01", "separate-pools made a layer for the pooling pool"),
    "rescaled": (residual(rescaled), "AK2-LEFT-01", "host-lone-ops put an identity layer before rescaled"),
    "depthwise average": (depthwise_average, "AK2-POOL-05", "write-out-depthwise wrote out dw, depthwise in front of"),
    "concat": (joined(2), "AK2-CONCAT-02", "split-concats joined the 3 inputs of concat in pairs"),
}
"""What Akida 2 refuses, the rule, and what is done about it."""

VALID_POOLS = ("odd", "lone pool")
"""Their poolings stay `valid`, which the simulator has and the chip has not."""

OFF_CHIP = {
    "even": (one(kernel=(4, 4)), "AK2-MAP-01", "pad-kernels made the 4x4 kernel of conv2 5x5"),
    "pointwise": (depthwise(kernel=(1, 1), right=14), "AK2-MAP-01", "pad-kernels made the 1x1 kernel of dw 3x3"),
    "depthwise": (depthwise(kernel=(7, 7), strides=(2, 2)), "AK2-MAP-06", "split-depthwise split dw into"),
    "twins": (doubled, "AK2-MAP-07", "separate-twins put an identity layer before the second input of"),
    "fan-out": (branches, "AK2-MAP-08", "limit-fan-out put identity layers behind stem_relu, which feeds 3 layers"),
}
"""What it only warns of."""


def compiled(module, legal):
    context = PassContext()
    PassManager(akida2_default(legalize=legal), [ValidateEach(3), VerifyEach()]).run(module, context)
    return context


@pytest.mark.parametrize("name", REFUSED)
def test_refused_without_and_converted_with(name):
    network, code, done = REFUSED[name]
    with pytest.raises(CompileError) as caught:
        compiled(network(), legal=False)
    assert code in {d.code for d in caught.value.diagnostics}
    gives_the_same_integers(network, done, {"AK2-MAP-02"} if name in VALID_POOLS else set())


@pytest.mark.parametrize("name", OFF_CHIP)
def test_off_chip_without_and_on_chip_with(name):
    network, code, done = OFF_CHIP[name]
    warned = {d.code for d in compiled(network(), legal=False).diagnostics if d.severity is Severity.WARNING}
    assert code in warned
    gives_the_same_integers(network, done)


def gives_the_same_integers(network, done, warnings=frozenset()):
    """The program gives the model's integers; nothing else keeps it off the chip; the user hears of it."""
    module, original = network(), network()
    context = compiled(module, legal=True)
    shape = original.inputs[0].shape
    element = original.inputs[0].element
    x = np.random.default_rng(1).integers(element.lo, element.hi + 1, (4, *shape))
    (expected,), (found,) = interpret(original, x), interpret(module, x)
    assert np.array_equal(found.reshape(-1), expected.reshape(-1))
    assert len(np.unique(expected)) > 3
    assert {d.code for d in context.diagnostics if d.severity is Severity.WARNING} == warnings
    assert any(done in d.message for d in context.diagnostics if d.code == LEGALIZED)


POOLS = Path(__file__).parent.parent / "fixtures" / "quantizeml" / "pools_i8_w8_a8.h5"


def test_the_command_tells_what_was_done(tmp_path, capsys):
    assert main(["convert", "-m", str(POOLS), "-o", str(tmp_path / "pools.fbz")]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert notes == [
        "note: separate-pools put the pooling p1 behind the output of its layer",
        "note: separate-pools made a layer for the pooling p1, which stands alone",
    ]


def test_the_choice_of_the_interface():
    """`legalize=False` leaves the passes out, and the program says what was run."""
    with pytest.raises(CompileError, match="AK2-POOL-01"):
        compile_model(POOLS, legalize=False)
    module, context = compile_model(POOLS)
    assert all(p.name in str(module.annotations["pipeline"]) for p in LEGALIZATIONS)
    assert [d.message for d in context.diagnostics if d.code == LEGALIZED] == [
        "separate-pools put the pooling p1 behind the output of its layer",
        "separate-pools made a layer for the pooling p1, which stands alone",
    ]
