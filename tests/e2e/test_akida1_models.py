"""Models that QuantizeML prepared for Akida 1: averages before the ReLU, fused separable layers, 1 to 4 bits."""

import numpy as np
import pytest
from generators.recorded import recorded_models

from cnn2snn_ir.api import compile_model
from cnn2snn_ir.dialects import akida1
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.frontends.keras_h5.archive import read_archive
from cnn2snn_ir.reference import run_all
from cnn2snn_ir.runtime.model import Model
from cnn2snn_ir.runtime.statements import beyond_statement

MODELS = {r.model.stem: r for r in recorded_models("akida1")}


@pytest.fixture(params=MODELS)
def recorded(request):
    return MODELS[request.param]


def test_qnn(recorded):
    values = run_all(load_model(recorded.model), recorded.data["x"])
    assert [n for n in recorded.layers if n not in values] == []
    assert recorded.differing(values) == []


def test_program(recorded):
    """Every layer, given what Keras computed before it, is off by no more than it says."""
    module, context = compile_model(recorded.model, target="v1")
    assert not context.diagnostics.errors
    x, model = recorded.data["x"], Model(module)
    assert beyond_statement(module, run_all(load_model(recorded.model), x), x) == []
    expected = run_all(module, x)
    for backend in ("numpy", "numba"):
        found = Model(module, backend=backend).intermediates(x)
        assert all(np.array_equal(found[name], expected[name]) for name in found if name in expected)
    answers = model.predict(x).reshape(recorded.data["__output__"].shape)
    assert np.abs(answers - recorded.data["__output__"]).mean() < 0.2 * np.abs(recorded.data["__output__"]).mean()


def test_levels_of_few_bits_are_all_right():
    """Weights of 2 bits are widened, and a single level is one boundary: both programs decide as Keras does."""
    for name in ("neurons_i8_w2_a2_pt", "flat_neurons_i8_w4_a1_pt"):
        recorded = MODELS[name]
        model = Model(compile_model(recorded.model, target="v1")[0])
        neurons = [op for op in model.module.body if isinstance(op, akida1.NeuralLayer)]
        exact = [not any(op.annotations.get("off_by", ())) for op in neurons]
        assert exact[1:] == [True] * (len(neurons) - 1)
        assert recorded.differing(model.intermediates(recorded.data["x"])) == []


def test_every_kind_of_layer_is_there():
    modules = [compile_model(r.model, target="v1", validate=False)[0] for r in MODELS.values()]
    kinds = {type(op) for module in modules for op in module.body}
    assert kinds > {
        akida1.InputConvolutional,
        akida1.Convolutional,
        akida1.SeparableConvolutional,
        akida1.FullyConnected,
        akida1.Dequantizer,
    }
    classes = {r.class_name for m in MODELS.values() for r in read_archive(m.model).layers}
    assert "QuantizedSeparableConv2D" in classes
