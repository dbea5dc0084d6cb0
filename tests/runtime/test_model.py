from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from cnn2snn_ir import reference
from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects import akida2, builtin, nn
from cnn2snn_ir.dialects.akida2 import Activation
from cnn2snn_ir.ir import F32, Graph, Tensor, si, ui
from cnn2snn_ir.runtime.model import Model


def classifier(floats: bool = False) -> builtin.Module:
    """Input, optional quantizer, convolution, dense layer, dequantizer, softmax."""
    rng = np.random.default_rng(1)
    graph = Graph()
    source = graph.append(builtin.Input((6, 6, 3), F32 if floats else ui(8), name="input")).result
    x = source
    if floats:
        x = graph.append(akida2.Quantizer(x, Tensor.of(np.float32(64), F32), si(8), name="quantizer")).result
    layer = akida2.Conv2D if floats else akida2.InputConv2D
    conv = layer(
        x,
        Tensor.of(rng.integers(-127, 128, (3, 3, 3, 4)), si(8)),
        activation=Activation.RELU,
        output_scales=Tensor.of(200, ui(8)),
        output_shift=Tensor.of(-16, si(8)),
        to=si(8),
        name="conv",
    )
    x = graph.append(conv).result
    x = graph.append(akida2.Dense1D(x, Tensor.of(rng.integers(-7, 8, (144, 5)), si(4)), name="dense")).result
    x = graph.append(akida2.Dequantizer(x, Tensor.of(np.float32(2**-8), F32), name="dequantizer")).result
    x = graph.append(nn.Reshape(x, (5,), name="reshape")).result
    x = graph.append(nn.Softmax(x, 1, name="softmax")).result
    graph.append(builtin.Return((x,)))
    return builtin.Module("classifier", graph)


@pytest.fixture
def x():
    return np.random.default_rng(2).integers(0, 256, (9, 6, 6, 3)).astype(np.uint8)


def test_forward_gives_the_integers_before_the_dequantizer(x):
    model = Model(classifier())
    expected = reference.run_all(model.module, x)
    potentials = model.forward(x)
    assert potentials.dtype == np.int32
    np.testing.assert_array_equal(potentials, expected["dense"])
    np.testing.assert_array_equal(model.predict(x), expected["softmax"])


def test_intermediates_hold_every_layer(x):
    model = Model(classifier())
    expected = reference.run_all(model.module, x)
    found = model.intermediates(x)
    assert list(found) == ["conv", "dense", "dequantizer", "reshape", "softmax"]
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name])


def test_evaluate_counts_matches(x):
    model = Model(classifier())
    labels = model.predict(x).argmax(axis=1)
    assert model.evaluate(x, labels, batch_size=2) == 1.0
    assert model.evaluate(x, (labels + 1) % 5) == 0.0
    with pytest.raises(CompileError, match="RUN-LABELS"):
        model.evaluate(x, labels[:3])


def test_a_model_with_a_quantizer_takes_floats_and_integers(x):
    model = Model(classifier(floats=True))
    assert model.layers[0].type == "Quantizer"
    np.testing.assert_array_equal(model.forward(x), model.forward(x.astype(np.float64)))


def test_layers_show_their_parameters_and_variables():
    model = Model(classifier())
    conv = model.get_layer("conv")
    assert (conv.type, conv.input_shape, conv.output_shape) == ("InputConv2D", (6, 6, 3), (6, 6, 4))
    assert conv.parameters["stride"] == 1
    assert conv.parameters["activation"] == "relu"
    assert set(conv.variables) == {"weights", "output_scales", "output_shift"}
    assert not conv.variables["weights"].flags.writeable
    assert (conv.weights_bits, conv.weights_bytes) == (8, 108)
    assert (model.input_shape, model.output_shape) == ((6, 6, 3), (5,))
    with pytest.raises(CompileError, match="conv, dense"):
        model.get_layer("convolution")


def test_summary_lists_every_layer():
    text = Model(classifier()).describe()
    assert "classifier: input 6x6x3, 3 layers, 468 bytes of weights" in text
    assert [line.split()[:2] for line in text.splitlines()[4:]] == [
        ["conv", "InputConv2D"],
        ["dense", "Dense1D"],
        ["dequantizer", "Dequantizer"],
        ["reshape", "Reshape"],
        ["softmax", "Softmax"],
    ]


def test_wrong_inputs_are_diagnosed(x):
    model = Model(classifier())
    with pytest.raises(CompileError, match="RUN-INPUT-SHAPE"):
        model.forward(x[:, :5])
    with pytest.raises(CompileError, match="RUN-INPUT-TYPE"):
        model.forward(x.astype(np.float32))
    with pytest.raises(CompileError, match="RUN-INPUT-TYPE"):
        model.forward(x.astype(np.int16) - 1)
    np.testing.assert_array_equal(model.forward(x.astype(np.int64)), model.forward(x))


def test_numba_is_not_imported_before_an_engine_runs():
    code = "import sys; import cnn2snn_ir.runtime.model; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_saved_model_computes_the_same(x, tmp_path):
    model = Model(classifier())
    model.save(tmp_path / "classifier.fbz")
    again = Model(tmp_path / "classifier.fbz")
    assert again.summary() == model.summary()
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
