"""The example models on all 1000 images: every intermediate integer is Keras's, at three levels."""

import numpy as np
import pytest
from generators.recorded import EXAMPLES, FIXTURES, Recorded

from cnn2snn_ir.api import compile_model
from cnn2snn_ir.backends.program import read_program, write_program
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.reference import run_all
from cnn2snn_ir.runtime.model import Model

ACCURACY = {"mnist_v2_i8_w8_a8": 0.965, "mnist_v2_i8_w4_a4_ptq": 0.901, "mnist_v2_i8_w4_a4_qat": 0.946}
"""What QuantizeML's own models reach on these images."""

CHUNK = 100
DEQUANTIZERS = ("qnn.dequantize", "akida2.dequantizer")


@pytest.fixture(scope="module")
def images():
    with np.load(EXAMPLES / "mnist_1000.npz") as archive:
        return archive["x"].astype(np.float32), archive["y"]


def record(name):
    return Recorded(EXAMPLES / f"{name}.h5", FIXTURES / "golden" / f"{name}.npz")


def interpret(module, images):
    """Every value of the reference semantics, in chunks that fit in memory."""
    chunks = [run_all(module, images[i : i + CHUNK]) for i in range(0, len(images), CHUNK)]
    return {name: np.concatenate([c[name] for c in chunks]) for name in chunks[0]}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if "w4" in n else n for n in ACCURACY])
@pytest.mark.parametrize("level", ["qnn", "akida2"])
def test_reference_semantics(name, level, images):
    expected = record(name)
    module = load_model(expected.model) if level == "qnn" else compile_model(expected.model)[0]
    values = interpret(module, images[0])
    compared = [n for n in expected.layers if n in values]
    assert compared == expected.layers if level == "qnn" else len(compared) == 10
    assert expected.differing(values) == []
    name = next(op.results[0].name for op in module.body if op.op_name in DEQUANTIZERS)
    logits = values[name].reshape(len(images[0]), -1)
    assert np.array_equal(logits, expected.data["__output__"])


@pytest.mark.parametrize("name", ACCURACY)
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_program(name, backend, images, tmp_path):
    expected = record(name)
    module, _ = compile_model(expected.model)
    write_program(module, tmp_path / "model.fbz")
    model = Model(read_program(tmp_path / "model.fbz"), backend=backend)
    values = model.intermediates(images[0])
    assert len([n for n in expected.layers if n in values]) == 10
    assert expected.differing(values) == []
    assert np.array_equal(model.predict(images[0]), expected.data["__output__"])
    assert model.evaluate(*images) == pytest.approx(ACCURACY[name])
