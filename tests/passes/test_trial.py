"""A conversion runs the model and the program on a random input: what differs is refused, whoever got it wrong."""

import numpy as np
import pytest
from generators.recorded import EXAMPLES

from cnn2snn_ir import convert
from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects import akida2, builtin, qnn
from cnn2snn_ir.ir import Tensor
from cnn2snn_ir.passes.infer_bitwidths import InferBitwidths
from cnn2snn_ir.passes.instruments import WholeTrial
from cnn2snn_ir.reference.arithmetic import EXACT_FLOAT, dot
from cnn2snn_ir.text import parse_module

MNIST = EXAMPLES / "mnist_v2_i8_w8_a8.h5"


def first(module, kind):
    return next(op for op in module.body if isinstance(op, kind))


def one_weight(module):
    layer = first(module, akida2.DepthwiseConv2D)
    weights = layer.weights.int64.copy()
    weights[0, 0, 0] -= np.sign(weights[0, 0, 0]) or -1
    layer.weights = Tensor.of(weights, layer.weights.type.element, "weights")


def no_bias(module):
    layer = first(module, akida2.Dense1D)
    layer.bias = layer.bias_shift = None


def wrong_shift(module):
    layer = first(module, akida2.Conv2D)
    layer.output_shift = Tensor.of(layer.output_shift.int64 + 1, layer.output_shift.type.element, "shift")


def integers_for_floats(module):
    module.terminator.set_operands([first(module, akida2.Dense1D).result])


def other_shape(module):
    (value,) = module.outputs
    reshape = qnn.Reshape(value, (1, 10))
    module.body.insert_before(module.terminator, reshape)
    module.terminator.set_operands([reshape.result])


@pytest.mark.parametrize("plant", [one_weight, no_bias, wrong_shift, integers_for_floats, other_shape])
def test_a_silent_miscompile_is_impossible(plant, monkeypatch, tmp_path):
    run = InferBitwidths.run

    def planted(self, op, context):
        plant(op)
        return run(self, op, context)

    monkeypatch.setattr(InferBitwidths, "run", planted)
    with pytest.raises(CompileError, match="does not compute what the model does") as caught:
        convert(MNIST, tmp_path / "x.fbz")
    assert {d.code for d in caught.value.diagnostics} == {"PASS-VALIDATE"}
    assert not list(tmp_path.iterdir())
    convert(MNIST, tmp_path / "x.fbz", validate=False)


def stream():
    return parse_module(STREAM), parse_module(STREAM)


STREAM = """module @stream {
  %x = builtin.input {shape = [2, 2, 1], element = si8} : tensor<?x2x2x1xsi8>
  %fifo = builtin.state {sym_name = "f", shape = [2, 2, 3, 1], element = si8} : tensor<?x2x2x3x1xsi8>
  %y = akida2.buffer_temp_conv %x, %fifo, #w<k, si8[1, 1, 4, 1], [1, 2, 3, 4]> : tensor<?x2x2x1xsi28>
  %next = akida2.fifo_push %fifo, %x : tensor<?x2x2x3x1xsi8>
  builtin.store %next {sym_name = "f"}
  builtin.return %y
}"""


def test_streams_are_tried_with_something_to_remember():
    model, program = stream()
    trial = WholeTrial(model)
    assert list(trial.faults(program, "here")) == []
    layer = first(program, akida2.BufferTempConv)
    layer.weights = Tensor.of(np.array([0, 2, 3, 4]).reshape(1, 1, 4, 1), layer.weights.type.element, "k")
    assert next(d.message for d in trial.faults(program, "here")).startswith("%y changes")


def test_what_is_stored_is_compared():
    model, program = stream()
    trial = WholeTrial(model)
    store = first(program, builtin.Store)
    store.set_operands([first(program, builtin.State).result])
    assert [d.message for d in trial.faults(program, "here")] == ["memory f changes, and the pass promises exact"]


@pytest.mark.parametrize("largest", [1 << 8, 1 << 25, 1 << 26, 1 << 30])
def test_products_are_exact_on_both_ways(largest):
    rng = np.random.default_rng(largest)
    x = rng.integers(-largest, largest, (50, 7), endpoint=True)
    weights = rng.integers(-largest, largest, (7, 3), endpoint=True)
    exact = x.astype(object) @ weights.astype(object)
    assert np.array_equal(dot(x, weights), exact)
    edge = np.full((1, 2), EXACT_FLOAT // 2), np.array([[1], [1]])  # 2^53 itself goes through int64
    assert dot(*edge) == EXACT_FLOAT
    assert dot(edge[0] - 1, edge[1]) == EXACT_FLOAT - 2
