"""Files of the legacy cnn2snn API: every way in which Keras writes them gives the same module; the rest is refused."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from generators.legacy import FILES, Line, quantizer, write_h5, write_keras
from generators.recorded import FIXTURES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects import nn
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.frontends.keras_h5.importer import UnsupportedLayerError
from cnn2snn_ir.frontends.keras_h5.legacy_quantizers import QUANTIZERS, quantize_kernel
from cnn2snn_ir.passes.instruments import PassFaultError
from cnn2snn_ir.passes.legacy_pipeline import legacy_to_qnn
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.text import print_module

F = np.float32


def text(module):
    module.annotations.clear()
    return print_module(module)


def diagnostics(line, tmp_path):
    with pytest.raises(CompileError) as caught:
        load_model(write_h5(line, tmp_path / "model.h5"))
    return caught.value.diagnostics


def of_kind(module, op_class):
    return [op for op in module.body if isinstance(op, op_class)]


# ---- what loads -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_every_writing_is_the_same_model(name, tmp_path):
    line = FILES[name]()
    expected = text(line.module())
    assert text(load_model(FIXTURES / "legacy" / f"{name}.h5")) == expected
    assert text(load_model(write_keras(line, tmp_path / "model.keras"))) == expected
    for number in range(4):
        path = tmp_path / f"{number}.h5"
        write_h5(line, path, keras3=bool(number & 1), functional=bool(number & 2))
        assert text(load_model(path)) == expected


def test_the_shape_may_stand_in_the_first_layer(tmp_path):
    line = FILES["vector_mlp"]()
    path = write_h5(line, tmp_path / "model.h5", input_layer=False)
    first = line.records[1].name
    assert text(load_model(path)) == text(line.module()).replace("%input", f"%{first}_input")


def test_an_archive_without_gammas(tmp_path):
    """Archives number the variables that there are."""
    line = Line((4,)).dense(4, 3).batchnorm(3)
    record = line.records[-1]
    del record.weights["gamma"]
    record.config["scale"] = False
    (norm,) = of_kind(load_model(write_keras(line, tmp_path / "model.keras")), nn.BatchNorm)
    assert np.array_equal(norm.gamma.array, np.ones(3))
    assert np.array_equal(norm.beta.array, record.weights["beta"])
    assert np.array_equal(norm.variance.array, record.weights["moving_variance"])


def test_defaults_of_activations():
    line = Line((4,)).dense(4, 3).relu(4, None).dense(3, 3)
    for bits in (1, 2, 3, 4, 8):
        line.add("ActivationDiscreteRelu", bitwidth=bits)
    found = [(op.bits, op.step) for op in of_kind(line.module(), nn.QuantizedReLU)]
    steps = [1.0, 1.0, F(6 / 7), F(0.4), F(6 / 255)]
    assert found == [(4, 1.0), *zip((1, 2, 3, 4, 8), map(float, steps), strict=True)]


def test_one_quantizer_for_both_halves_of_old_separable_layers():
    line = Line((6, 6, 2)).separable(2, 3, kind="StdPerAxisQuantizer", bits=2)
    del line.records[-1].config["quantizer_dw"]
    (depthwise,), (pointwise,) = (of_kind(line.module(), c) for c in (nn.DepthwiseConv2D, nn.Conv2D))
    assert depthwise.weights.type.element == pointwise.weights.type.element
    assert depthwise.weight_scale.type.shape == ()
    assert pointwise.weight_scale.type.shape == (3,)


def test_layers_of_training_are_imported():
    line = Line((6, 6, 2)).conv(2, 3)
    for name in ("Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout"):
        line.add(name)
    assert len(of_kind(line.module(), nn.Dropout)) == 5


# ---- weights --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("name", QUANTIZERS)
def test_weights_by_the_formula(name, bits):
    """The formulas, written out once more with NumPy's own functions."""
    kernel = np.random.default_rng(bits).standard_normal((3, 3, 4, 5)).astype(F)
    axes = (0, 1, 2) if "PerAxis" in name else None
    spread = kernel.std(axis=axes) * F(3) if "Std" in name else np.abs(kernel).max(axis=axes)
    most = 2 ** (bits - 1) - 1
    found = quantize_kernel(kernel, quantizer(name, bits))
    assert np.allclose(found.scale, most / spread, rtol=1e-6)
    assert found.scale.dtype == F
    expected = np.clip(np.rint(kernel * found.scale), -most, most)
    assert np.array_equal(found.integers, expected)
    assert (np.abs(found.integers).max() == most) or "Std" in name


def test_ties_of_weights_go_to_even():
    kernel = np.array([[7.0], [0.5], [1.5], [2.5], [-0.5], [-3.5]], F)
    assert quantize_kernel(kernel, quantizer("MaxQuantizer", 4)).integers.ravel().tolist() == [7, 0, 2, 2, 0, -4]


def test_weights_outside_of_the_deviations_are_clipped():
    kernel = np.array([[0.1], [-0.1], [0.1], [-3.0], [0.1], [-0.1]], F)
    found = quantize_kernel(kernel, quantizer("StdWeightQuantizer", 4, threshold=1.0))
    assert found.integers.min() == -7


def test_a_filter_of_zeros_has_the_largest_scale():
    kernel = np.array([[0.0, 1.0], [0.0, -1.0]], F)
    for name, shape in (("MaxQuantizer", ()), ("MaxPerAxisQuantizer", (2,)), ("StdPerAxisQuantizer", (2,))):
        found = quantize_kernel(kernel, quantizer(name, 4))
        assert found.scale.shape == shape
        assert found.scale.max() <= 1000
        assert found.integers[:, 0].tolist() == [0, 0]
    assert quantize_kernel(np.zeros((2, 2), F), quantizer("MaxQuantizer", 4)).scale == 1000


def test_odd_quantizers_are_refused():
    kernel = np.ones((2, 2), F)
    for record in (quantizer("Trainable", 4), quantizer("MaxQuantizer", 1), quantizer("MaxQuantizer", 40)):
        with pytest.raises(UnsupportedLayerError):
            quantize_kernel(kernel, record)
    with pytest.raises(UnsupportedLayerError, match="too large"):
        quantize_kernel(np.full((2, 2), 3e38, F), quantizer("StdWeightQuantizer", 4, threshold=3e38))


# ---- what does not --------------------------------------------------------------------------------------------------


def test_a_branch_is_named(tmp_path):
    line = Line((6, 6, 2)).conv(2, 2, name="first").relu(name="relu").conv(2, 2, name="second").conv(2, 2, name="third")
    line.records[-1] = replace(line.records[-1], inbound=("relu",))
    path = write_h5(line, tmp_path / "model.h5", functional=True)
    with pytest.raises(CompileError) as caught:
        load_model(path)
    found = caught.value.diagnostics
    assert [(d.code, d.where) for d in found] == [
        ("KERAS-BRANCH", "second (QuantizedConv2D)"),
        ("KERAS-BRANCH", "third (QuantizedConv2D)"),
    ]
    assert "it reads relu, as does third (QuantizedConv2D)" in found[0].found


def test_a_layer_that_joins_branches(tmp_path):
    line = Line((6, 6, 2)).conv(2, 2, name="first").conv(2, 2, name="second").add("Add", "add")
    line.records[-1] = replace(line.records[-1], inbound=("first", "second"))
    with pytest.raises(CompileError, match=r"it reads first, as does add \(Add\)"):
        load_model(write_h5(line, tmp_path / "model.h5", functional=True))


def test_a_model_that_joins_its_inputs(tmp_path):
    line = Line((6, 6, 2)).add("Concatenate", "join").conv(4, 2)
    line.records[1] = replace(line.records[1], inbound=("input", "input"))
    with pytest.raises(CompileError) as caught:
        load_model(write_h5(line, tmp_path / "model.h5", functional=True))
    assert [(d.code, d.where) for d in caught.value.diagnostics] == [("KERAS-BRANCH", "join (Concatenate)")]


def test_layers_of_both_quantizers(tmp_path):
    line = Line((6, 6, 2)).conv(2, 2, name="old").add("QuantizedReLU", "new", quant_config={"output_quantizer": {}})
    (found,) = diagnostics(line, tmp_path)
    assert found.code == "KERAS-MIXED"
    assert "new (QuantizedReLU) and old (QuantizedConv2D)" in found.found


def test_a_float_model_stays_refused(tmp_path):
    line = Line((6, 6, 2)).conv(2, 2, bits=0).add("ReLU", max_value=6.0)
    (found,) = diagnostics(line, tmp_path)
    assert found.code == "KERAS-FLOAT"
    assert "not quantized" in found.message


def test_unknown_layers_are_all_named(tmp_path):
    line = Line((6, 6, 2)).conv(2, 2).add("Fancy", "fancy")
    (found,) = diagnostics(line, tmp_path)
    assert (found.code, found.where) == ("KERAS-LAYER", "fancy (Fancy)")
    assert "QuantizedConv2D" in found.allowed


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda line: line.add("Rescaling", scale=[0.1, 0.2], offset=0.0), "scale must be one number"),
        (lambda line: line.relu(4, -1.0), "max_value must be above 0"),
        (lambda line: line.relu(40), "no such bitwidth"),
        (lambda line: line.batchnorm(2, axis=1), "does not normalize channels"),
        (lambda line: line.conv(2, 2, kind="Fancy"), "weight quantizer Fancy is unknown"),
        (lambda line: line.conv(2, 2, groups=2), "groups is not supported"),
        (lambda line: line.conv(2, 2, data_format="channels_first"), "data_format is not supported"),
        (lambda line: line.conv(3, 2), "configuration cannot be read"),
    ],
)
def test_settings_that_are_refused(edit, message, tmp_path):
    line = edit(Line((6, 6, 2)).conv(2, 2))
    found = diagnostics(line, tmp_path)
    assert len(found) == 1
    assert message in found[0].message
    assert found[0].where.startswith(line.records[-1].name)


def test_a_variance_below_zero(tmp_path):
    line = Line((6, 6, 2)).conv(2, 2).batchnorm(2)
    line.records[-1].weights["moving_variance"][:] = -1
    assert [d.code for d in diagnostics(line, tmp_path)] == ["KERAS-RANGE"]


def test_fixtures_are_what_the_generator_writes(tmp_path):
    for name, model in FILES.items():
        fresh, kept = write_h5(model(), tmp_path / f"{name}.h5"), FIXTURES / "legacy" / f"{name}.h5"
        assert text(load_model(fresh)) == text(load_model(kept))


MUTATIONS = [None, 0, -1, 1 << 40, 3, "x", [], {}, [None], [1, 2], True, 1e300, -0.5, "channels_first", "valid"]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_odd_configurations_give_integers_or_a_diagnostic(data):
    """Whatever a configuration says, the outcome is a module of integers or a CompileError that is no fault of ours."""
    line = FILES[data.draw(st.sampled_from(list(FILES)))]()
    record = data.draw(st.sampled_from(line.records))
    target = record.config
    key = data.draw(st.sampled_from(list(target)))
    if isinstance(target[key], dict) and data.draw(st.booleans()):
        target = target[key]["config"]
        key = data.draw(st.sampled_from(list(target)))
    target[key] = data.draw(st.sampled_from(MUTATIONS))
    error = None
    with tempfile.TemporaryDirectory() as folder:
        path = write_h5(line, Path(folder) / "model.h5")
        try:
            PassManager(legacy_to_qnn()).run(load_model(path))
        except CompileError as raised:
            error = raised
    assert not isinstance(error, PassFaultError)
    assert error is None or all(d.code and d.message for d in error.diagnostics)
