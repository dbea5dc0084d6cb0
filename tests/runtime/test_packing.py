"""Elements and weights of convolutions take a byte where they fit, two where they do not, and give the same sums."""

import os
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from generators.recorded import EXAMPLES

from cnn2snn_ir import convert, reference
from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.ir import Graph, Tensor, si, ui
from cnn2snn_ir.runtime import numba_layer
from cnn2snn_ir.runtime.engine import Engine
from cnn2snn_ir.runtime.vector_kernels import MULTIPLIES_BYTES, Form

BYTES = Form.BYTES if MULTIPLIES_BYTES else Form.BYTE_WEIGHTS

FORMS = {
    "bytes": (ui(8), -128, 127, BYTES),
    "levels": (ui(4), -128, 3, BYTES),
    "signed elements": (si(8), -128, 127, Form.BYTE_WEIGHTS),
    "elements of nine bits": (ui(9), -8, 7, Form.BYTE_WEIGHTS),
    "weights of nine bits": (ui(8), -129, 3, Form.SHORTS),
    "unsigned weights": (si(8), 0, 128, Form.SHORTS),
}


SHIFTED = {
    "a bit to spare": (ui(7), [0, 1, 0, 1, 1], BYTES),
    "four bits to spare": (ui(4), [3, 0, 4, 1, 2], BYTES),
    "no bit to spare": (ui(8), [0, 1, 0, 0, 0], Form.SHORTS),
    "a bit too few": (ui(7), [0, 2, 0, 0, 0], Form.SHORTS),
    "signed elements": (si(7), [0, 1, 0, 0, 0], Form.SHORTS),
}
"""Inputs that a layer shifts, which are weights of more bits: an element with bits to spare takes over."""


def convolution(element, weights, shift=None):
    """A module whose only layer has these weights, of nine bits, and shifts its input."""
    graph = Graph()
    x = graph.append(builtin.Input((4, 5, weights.shape[2]), element, name="input")).result
    input_shift = None if shift is None else Tensor.of(np.array(shift), ui(4))
    layer = akida2.Conv2D(x, Tensor.of(weights, si(9)), input_shift=input_shift, acc=si(32), to=None, name="conv")
    y = graph.append(layer).result
    graph.append(builtin.Return((y,)))
    return builtin.Module("packed", graph)


def form_of(engine):
    """How the layer multiplies."""
    (step,) = engine.steps
    (form,) = (stage.fields["form"] for stage in step.stages if "form" in stage.fields)
    return form


def samples(element, count, rng):
    """Random ones, and those that give the largest sums."""
    x = rng.integers(element.lo, element.hi + 1, (count, 4, 5, 5))
    x[0] = element.hi
    x[count // 2] = rng.choice([element.lo, element.hi], x[0].shape)
    return x.astype(element.dtype)


@pytest.mark.parametrize("filters", [1, 16, 17, 40])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_sums(form, filters):
    element, least, greatest, expected = FORMS[form]
    rng = np.random.default_rng(filters)
    for weights in (
        rng.integers(least, greatest + 1, (3, 3, 5, filters)),
        rng.choice([least, greatest], (3, 3, 5, filters)),
        np.full((1, 1, 5, filters), least or greatest),
    ):
        weights[0, 0, 0, 0], weights[-1, -1, -1, -1] = least, greatest
        module = convolution(element, weights)
        engine = Engine(module, "numba")
        assert form_of(engine) == expected
        for count in (1, 3):
            x = samples(element, count, rng)
            np.testing.assert_array_equal(engine.run(x)[0], reference.run(module, x)[0])


@pytest.mark.parametrize("filters", [1, 20])
@pytest.mark.parametrize("case", SHIFTED)
def test_elements_take_over_shifts_that_weights_have_no_room_for(case, filters):
    element, shift, expected = SHIFTED[case]
    rng = np.random.default_rng(0)
    weights = rng.choice([-128, 127, 5], (3, 3, 5, filters))
    weights[0, 0, :, 0] = -128
    module = convolution(element, weights, shift)
    engine = Engine(module, "numba")
    assert form_of(engine) == expected or not MULTIPLIES_BYTES
    for count in (1, 4):
        x = samples(element, count, rng)
        np.testing.assert_array_equal(engine.run(x)[0], reference.run(module, x)[0])


def test_a_processor_without_products_of_bytes_computes_the_same():
    rng = np.random.default_rng(0)
    module = convolution(ui(8), rng.integers(-128, 128, (3, 3, 5, 20)))
    with mock.patch.object(numba_layer, "MULTIPLIES_BYTES", False):
        engine = Engine(module, "numba")
    assert form_of(engine) is Form.BYTE_WEIGHTS
    x = samples(ui(8), 3, rng)
    np.testing.assert_array_equal(engine.run(x)[0], Engine(module, "numba").run(x)[0])


ELSEWHERE = """
import numpy as np
from cnn2snn_ir import load
from cnn2snn_ir.runtime.vector_kernels import MULTIPLIES_BYTES
model = load("PROGRAM")
with np.load("SAMPLES") as archive:
    print(MULTIPLIES_BYTES, model.engine.backend.name, model.evaluate(archive["x"], archive["y"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("features", ["", "+avx2,+avx512f"])
def test_code_for_a_processor_that_a_setting_of_numba_names(features, tmp_path):
    """An instruction that it does not have would end the process."""
    program = tmp_path / "model.fbz"
    convert(EXAMPLES / "mnist_v2_i8_w8_a8.h5", program)
    settings = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    code = ELSEWHERE.replace("PROGRAM", str(program)).replace("SAMPLES", str(EXAMPLES / "mnist_1000.npz"))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **settings}
    )
    assert done.stdout.split() == ["False", "numba", "0.965"], done.stderr[-2000:]
