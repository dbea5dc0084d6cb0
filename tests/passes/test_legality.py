"""The rules of Akida 2: for every rule a network that breaks it alone, and one that obeys all."""

import numpy as np
import pytest
from generators.networks import Builder, deciding, everything, recurrent

from cnn2snn_ir.diagnostics import CompileError, Diagnostics, Severity
from cnn2snn_ir.dialects import builtin, nn, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import F32, Tensor, si, ui
from cnn2snn_ir.passes.base import PassContext
from cnn2snn_ir.passes.default_pipelines import LEGALIZATIONS
from cnn2snn_ir.passes.legality.akida2 import RULES
from cnn2snn_ir.passes.legality.check import illegalities
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import parse_pipeline

FUSE = "fold-scales, materialize-alignment, fuse-blocks"


def image(b):
    """The first layer of a legal network: a stem that turns an image into 8-bit integers."""
    return b.requantize(b.relu(b.conv(b.input((12, 12, 3)), "stem", 8)), "stem_relu")


def one_layer(**options):
    def build():
        b = Builder()
        return b.finish(b.requantize(b.relu(b.conv(image(b), "conv", 8, **options)), "out"))

    return build


def pooled(padding=Padding.SAME, size=(2, 2), active=True, average=False):
    b = Builder()
    x = b.emit(qnn.MaxPool(b.conv(image(b), "conv", 8), size, size, padding))
    x = b.relu(x) if active else x
    x = b.emit(qnn.SumPool(x)) if average else x
    return b.finish(b.requantize(x, "out"))


def two_inputs():
    b = Builder()
    second = b.emit(builtin.Input((12, 12, 8), si(8)), "second")
    return b.finish(b.emit(qnn.Concat((image(b), second), 3), "out"))


def rank_two_input():
    b = Builder()
    x = b.emit(builtin.Input((4, 4), si(8)), "input")
    return b.finish(b.dense(b.emit(qnn.Reshape(x, (16,))), "dense", 4))


def float_before_integers():
    b = Builder()
    x = b.emit(builtin.Input((8,), F32), "input")
    x = b.emit(nn.Activation(x, nn.Function.TANH), "tanh", "Activation")
    x = b.emit(qnn.Quantize(x, Tensor.of(np.asarray(4), si(16), "f"), si(8)), "quantizer")
    return b.finish(b.dense(x, "dense", 4))


def dense_on_a_map():
    b = Builder()
    return b.finish(b.dense(image(b), "dense", 4))


def remembering():
    """A memory that is no window of frames."""
    b = Builder()
    x = image(b)
    before = b.emit(builtin.State("last", (12, 12, 8), si(8)))
    total = b.emit(qnn.Add(x, before), "sum")
    b.graph.append(builtin.Store(x, "last"))
    return b.finish(total)


def transposed(strides=(2, 2), bits=8):
    b = Builder()
    weights = b.constant((3, 3, 8, 4), si(bits), "kernel")
    x = b.emit(qnn.Conv2DTranspose(image(b), weights, strides=strides), "up", "QuantizedConv2DTranspose")
    return b.finish(b.requantize(b.relu(b.bias(x, "up")), "out"))


def table(index_bits=11, pooled=False):
    b = Builder()
    x = b.requantize(b.conv(image(b), "conv", 8), "index", si(index_bits), right=14)
    x = b.emit(qnn.MaxPool(x, (2, 2), (2, 2), Padding.SAME)) if pooled else x
    entries = b.constant((1 << index_bits,), si(14), "lut_values")
    x = b.emit(qnn.Lookup(x, entries), "gelu", "QuantizedActivation")
    return b.finish(b.requantize(x, "out", right=14))


def fused_separable():
    b = Builder()
    depthwise = b.emit(qnn.DepthwiseConv2D(image(b), b.constant((3, 3, 8), si(8), "kernel"), acc=si(32)))
    pointwise = qnn.Conv2D(depthwise, b.constant((1, 1, 8, 4), si(8), "kernel"), acc=si(32))
    return b.finish(b.requantize(b.relu(b.emit(pointwise, "separable", "QuantizedSeparableConv2D")), "out", right=24))


def concat(axis=3, parts=2):
    """Of a chain of layers, so that none feeds more than two others."""
    b = Builder()
    chain = [image(b)]
    for index in range(1, parts):
        chain.append(b.requantize(b.relu(b.conv(chain[-1], f"conv_{index}", 8)), f"relu_{index}"))
    return b.finish(b.emit(qnn.Concat(tuple(chain), axis), "concat"))


def concat_with_itself():
    b = Builder()
    x = image(b)
    return b.finish(b.emit(qnn.Concat((x, x), 3), "concat"))


def three_branches():
    b = Builder()
    x = image(b)
    first, second, third = (b.requantize(b.relu(b.conv(x, f"conv_{i}", 4)), f"relu_{i}") for i in range(3))
    pair = b.emit(qnn.Concat((first, second), 3), "pair")
    return b.finish(b.emit(qnn.Concat((pair, third), 3), "concat"))


def frames_and_a_sum():
    """A map that two layers read: a convolution over time, with its FIFO, and a sum."""
    b = Builder()
    x = image(b)
    height, width, channels = x.type.per_sample
    before = b.emit(builtin.State("time/fifo", (height, width, 1, channels), si(8)))
    window = b.emit(qnn.Concat((before, b.emit(qnn.Reshape(x, (height, width, 1, channels)))), 3))
    b.graph.append(builtin.Store(b.emit(qnn.Slice(window, 3, start=1)), "time/fifo"))
    flat = b.emit(qnn.Reshape(window, (height, width, 2 * channels)))
    y = b.requantize(b.relu(b.conv(flat, "time", channels, kernel=(1, 1), padding=Padding.VALID)), "time_relu")
    return b.finish(b.emit(qnn.Add(x, y, acc=si(32)), "sum"))


def input_conv(pad=None):
    b = Builder()
    x = b.input((12, 12, 3))
    fill = None if pad is None else Tensor.of(np.asarray(pad), si(16), "pad")
    return b.finish(b.requantize(b.relu(b.conv(x, "stem", 8, pad_value=fill)), "out"))


def input_quantizer_conv():
    """An input convolution behind an input quantizer whose channels differ."""
    b = Builder()
    x = b.emit(builtin.Input((12, 12, 3), F32), "input")
    x = b.emit(qnn.Quantize(x, Tensor.of([4, 5, 6], si(16), "f"), si(9)), "quantizer")
    return b.finish(b.requantize(b.relu(b.conv(b.align(x), "stem", 8)), "out"))


def unsigned_first_dense():
    b = Builder()
    return b.finish(b.dense(b.input((16,), ui(8)), "dense", 4))


def inner_padding_value():
    b = Builder()
    fill = Tensor.of(np.asarray(3), si(16), "pad")
    return b.finish(b.requantize(b.relu(b.conv(image(b), "conv", 8, pad_value=fill)), "out"))


def depthwise(average=False, **options):
    def build():
        b = Builder()
        x = b.relu(b.depthwise(image(b), "dw", **options))
        x = b.emit(qnn.SumPool(x)) if average else x
        return b.finish(b.requantize(x, "out"))

    return build


def wide_bias():
    """A bias that no mantissa of 8 bits gives."""
    b = Builder()
    x = b.emit(qnn.Conv2D(image(b), b.constant((3, 3, 8, 8), si(8), "kernel")), "conv", "QuantizedConv2D")
    x = b.emit(qnn.BiasAdd(x, Tensor.of(np.full(8, 12345), si(32), "bias"), Tensor.of(np.asarray(0), ui(8), "shift")))
    return b.finish(b.requantize(b.relu(x), "out"))


def wide_bound():
    b = Builder()
    x = b.conv(image(b), "conv", 8)
    bound = Tensor.of(np.full(8, 1025), ui(31), "max_value")
    return b.finish(b.requantize(b.emit(qnn.ReLU(x, bound), "relu", "QuantizedReLU"), "out"))


def two_buffers():
    b = Builder()
    x = b.relu(b.conv(image(b), "conv", 8))
    return b.finish(b.requantize(b.emit(qnn.SumPool(x, acc=si(40))), "out"))


def right_shift_before_conv():
    b = Builder()
    x = b.emit(qnn.Shift(image(b), Tensor.of(np.asarray(-1), si(8), "shift"), si(28)), None)
    return b.finish(b.requantize(b.relu(b.conv(x, "conv", 8)), "out"))


def inner_reshape():
    b = Builder()
    x = b.emit(qnn.Reshape(image(b), (6, 24, 8)), "reshape")
    return b.finish(b.requantize(b.relu(b.conv(x, "conv", 8)), "out"))


def lonely_relu():
    b = Builder()
    return b.finish(b.emit(qnn.ReLU(image(b)), "relu", "QuantizedReLU"))


def wide(filters):
    b = Builder()
    return b.finish(b.requantize(b.relu(b.conv(image(b), "conv", filters, (1, 1))), "out"))


def huge_dense():
    b = Builder()
    x = b.requantize(b.relu(b.conv(b.input((20, 20, 1)), "stem", 8)), "out")
    return b.finish(b.dense(b.emit(qnn.Reshape(x, (20 * 20 * 8,)), "flat"), "dense", 2))


def recurrence_of_another_width():
    """The product in front of a recurrence saturates earlier than the recurrence does."""
    module = recurrent()
    product = next(op for op in module.body if isinstance(op, qnn.Scale))
    product.to, product.result.type = si(31), product.result.type.with_element(si(31))
    return module


def test_the_projections_of_a_recurrence_share_an_accumulator():
    module = one_recurrence()
    last = [op for op in module.body if isinstance(op, qnn.Dense)][-1]
    last.acc = si(26)
    for op in (last, last.next):
        op.results[0].type = op.results[0].type.with_element(si(26))
    (diagnostic,) = [d for d in codes(module) if d.code == "AK2-STATE-03"]
    assert diagnostic.found == "projections in si26 and si28"


def one_recurrence(**options):
    b = Builder()
    return b.finish(b.recurrence(b.input((8, 3), si(8)), "only", 5, **options))


def frames(count):
    """A convolution over time."""
    b = Builder()
    x = image(b)
    newest = b.emit(qnn.Reshape(x, (12, 12, 1, 8)))
    before = b.emit(builtin.State("fifo", (12, 12, count - 1, 8), si(8)))
    window = b.emit(qnn.Concat((before, newest), 3))
    b.graph.append(builtin.Store(b.emit(qnn.Slice(window, 3, 1)), "fifo"))
    flat = b.emit(qnn.Reshape(window, (12, 12, 8 * count)))
    y = b.conv(flat, "btc", 4, (1, 1), padding=Padding.VALID)
    return b.finish(b.requantize(b.relu(y), "out"))


BREAKING = {
    "AK2-MODEL-01": two_inputs,
    "AK2-MODEL-02": rank_two_input,
    "AK2-MODEL-03": float_before_integers,
    "AK2-STATE-01": remembering,
    "AK2-STATE-02": lambda: recurrent(bias=True),
    "AK2-STATE-03": recurrence_of_another_width,
    "AK2-PICO-01": lambda: deciding(1 << 16),
    "AK2-CONV-01": one_layer(kernel=(3, 5)),
    "AK2-CONV-02": one_layer(strides=(1, 2)),
    "AK2-CONV-03": one_layer(dilation=(2, 2)),
    "AK2-CONV-04": one_layer(bits=2),
    "AK2-CONV-05": fused_separable,
    "AK2-BIAS-01": wide_bias,
    "AK2-RELU-01": wide_bound,
    "AK2-TCONV-01": lambda: transposed(strides=(1, 1)),
    "AK2-TCONV-02": lambda: transposed(bits=2),
    "AK2-LUT-01": lambda: table(10),
    "AK2-DENSE-01": dense_on_a_map,
    "AK2-CONCAT-01": lambda: concat(axis=1),
    "AK2-CONCAT-02": lambda: concat(parts=3),
    "AK2-INPUT-01": input_quantizer_conv,
    "AK2-INPUT-02": lambda: input_conv(pad=-3),
    "AK2-INPUT-03": unsigned_first_dense,
    "AK2-PAD-01": inner_padding_value,
    "AK2-POOL-01": lambda: pooled(padding=Padding.VALID),
    "AK2-POOL-02": lambda: pooled(size=(2, 1)),
    "AK2-POOL-03": lambda: pooled(active=False),
    "AK2-POOL-04": lambda: pooled(average=True),
    "AK2-POOL-05": depthwise(average=True),
    "AK2-POOL-06": two_buffers,
    "AK2-ALIGN-01": right_shift_before_conv,
    "AK2-RESHAPE-01": inner_reshape,
    "AK2-LEFT-01": lonely_relu,
    "AK2-MAP-01": one_layer(kernel=(2, 2)),
    "AK2-MAP-02": one_layer(padding=Padding.VALID),
    "AK2-MAP-03": lambda: wide(2049),
    "AK2-MAP-04": huge_dense,
    "AK2-MAP-05": lambda: table(11, pooled=True),
    "AK2-MAP-06": depthwise(kernel=(5, 5), strides=(2, 2)),
    "AK2-MAP-07": concat_with_itself,
    "AK2-MAP-08": three_branches,
    "AK2-MAP-09": lambda: frames(11),
    "AK2-MAP-10": lambda: one_recurrence(states=5),
    "AK2-MAP-11": lambda: recurrent(subsample=8),
    "AK2-MAP-12": lambda: recurrent(states=8),
}


def codes(module):
    """All rules that a module breaks, before fusion and after."""
    found = Diagnostics(illegalities(module, RULES))
    PassManager(parse_pipeline(FUSE)).run(module)
    found.extend(illegalities(module, RULES))
    return found


def test_every_rule_is_broken_once():
    assert list(BREAKING) == [rule.code for rule in RULES]
    assert len({rule.code for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("code", BREAKING)
def test_a_network_that_breaks_the_rule(code):
    found = codes(BREAKING[code]())
    assert {d.code for d in found} == {code}
    for diagnostic in found:
        assert diagnostic.where
        assert diagnostic.found
        assert diagnostic.allowed
        assert diagnostic.help


@pytest.mark.parametrize(
    "network",
    [
        everything,
        pooled,
        one_layer(),
        depthwise(),
        concat,
        input_conv,
        transposed,
        table,
        recurrent,
        deciding,
        lambda: frames(10),
        frames_and_a_sum,
    ],
)
def test_networks_that_obey_all_rules(network):
    module = network()
    PassManager(parse_pipeline("akida2-legalize")).run(module)
    assert not list(codes(module))


@pytest.mark.parametrize(
    ("padding", "pipeline", "said"),
    [
        (Padding.SAME, "check-legality", "square-kernels can do it where that is exact"),
        (Padding.VALID, "square-kernels, check-legality", "square-kernels cannot here: with same or valid padding"),
    ],
)
def test_help_names_the_rewrite_or_why_it_cannot(padding, pipeline, said):
    with pytest.raises(CompileError) as caught:
        PassManager(parse_pipeline(pipeline)).run(one_layer(kernel=(3, 5), padding=padding)())
    assert said in caught.value.diagnostics[0].help


def test_every_rewrite_is_a_pass_of_the_default_pipeline():
    names = {rewrite for rule in RULES for rewrite in rule.rewrites}
    assert names == {p.name for p in LEGALIZATIONS}


def test_all_faults_of_a_model_at_once():
    b = Builder()
    x = b.requantize(b.relu(b.conv(image(b), "first", 8, kernel=(3, 5))), "first_relu")
    x = b.requantize(b.relu(b.conv(x, "second", 8, strides=(1, 2), bits=2)), "second_relu")
    x = b.requantize(b.relu(b.depthwise(x, "third", dilation=(2, 2))), "third_relu")
    with pytest.raises(CompileError) as caught:
        PassManager(parse_pipeline("check-legality")).run(b.finish(x))
    found = [(d.code, d.where) for d in caught.value.diagnostics]
    assert found == [
        ("AK2-CONV-01", "first (QuantizedConv2D)"),
        ("AK2-CONV-02", "second (QuantizedConv2D)"),
        ("AK2-CONV-04", "second (QuantizedConv2D)"),
        ("AK2-CONV-03", "third (QuantizedDepthwiseConv2D)"),
    ]


def test_warnings_do_not_stop_a_conversion():
    module, context = BREAKING["AK2-MAP-02"](), PassContext()
    PassManager(parse_pipeline("akida2-default")).run(module, context)
    assert [d.severity for d in context.diagnostics if d.code == "AK2-MAP-02"] == [Severity.WARNING]
    assert module.annotations["target"] == "v2"


def test_what_was_left_over_says_why():
    b = Builder()
    x = b.conv(image(b), "conv", 8)
    x.name = "biased"
    total = b.emit(qnn.Add(b.emit(qnn.ReLU(x), "relu"), x, acc=si(32)), "sum")
    context = PassContext()
    PassManager(parse_pipeline(FUSE)).run(b.finish(total), context)
    assert "%biased has 2 users" in " ".join(context.why_not.values())
