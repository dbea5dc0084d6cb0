"""Float Keras files: every layer computes what Keras does; the rest is refused with its reason."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from generators.recorded import EXAMPLES, FIXTURES

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.levels import Level, is_at
from cnn2snn_ir.frontends import load_float_model, load_model
from cnn2snn_ir.ir.verify import verify
from cnn2snn_ir.reference import run, run_all

FOLDER = FIXTURES / "float_layers"
NAMES = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.npz"))
RIGHT_IN_KERAS = 486
"""Of the first 500 images of the example, by Keras's own float32."""

FORWARDING = ("by_name_linear",)
"""Layers that are nothing: no value is theirs."""


def recorded(name, folder=FOLDER):
    with np.load(folder / f"{name}.npz") as archive:
        return dict(archive)


def close(found, expected):
    return np.abs(found - expected).max() <= 1e-5 * max(np.abs(expected).max(), 1.0)


def of_kind(module, op_class):
    return [op for op in module.body if isinstance(op, op_class)]


# ---- what loads -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("name", NAMES)
def test_every_layer_as_keras_computes_it(name, suffix):
    module = load_float_model(FOLDER / f"{name}{suffix}")
    assert is_at(module, Level.NN)
    assert not list(verify(module))
    expected = recorded(name)
    x = expected.pop("x")
    found = run_all(module, x)
    layers = [layer for layer in expected if layer not in FORWARDING]
    assert len(layers) > 1
    for layer in layers:
        assert found[layer].shape == expected[layer].shape, layer
        assert close(found[layer], expected[layer]), layer


def test_one_of_many_filters_is_another_model(tmp_path):
    """What the tests above compare does depend on every variable."""
    path = Path(shutil.copy(FOLDER / "nested.h5", tmp_path / "edited.h5"))
    expected = recorded("nested")
    with h5py.File(path, "r+") as file:
        file["model_weights/trunk/short/kernel"][..., 0] += 1
    (found,) = run(load_float_model(path), expected["x"])
    assert not close(found, expected["classes"])


def test_variables_of_a_graph_that_was_built_twice(tmp_path):
    """Keras 2 said `conv_1/kernel:0` where a layer of that name had been there before."""
    path = Path(shutil.copy(FOLDER / "keras2" / "line.h5", tmp_path / "edited.h5"))
    with h5py.File(path, "r+") as file:
        for name, group in file["model_weights"].items():
            if name in group:
                group.move(name, f"{name}_1")
                names = [str(n).replace(f"{name}/", f"{name}_1/") for n in group.attrs["weight_names"]]
                assert names
                group.attrs["weight_names"] = np.array(names, "S")
    expected = recorded("keras2/line")
    (found,) = run(load_float_model(path), expected.pop("x"))
    assert close(found, list(expected.values())[-1])


def test_a_model_of_keras_2():
    module = load_float_model(FIXTURES / "float" / "twin_float.h5")
    expected = recorded("twin_float", FIXTURES / "float")
    found = run_all(module, expected.pop("x"))
    for layer, values in expected.items():
        assert close(found[layer], values), layer


def test_the_example_is_as_good_as_it_is_in_keras():
    with np.load(EXAMPLES / "mnist_1000.npz") as archive:
        x, y = archive["x"][:500], archive["y"][:500]
    (found,) = run(load_float_model(EXAMPLES / "mnist_v2_float.h5"), x)
    assert int((found.argmax(axis=1) == y).sum()) == RIGHT_IN_KERAS


def test_integers_are_read_as_reals():
    module = load_float_model(FOLDER / "normalizations.keras")
    assert str(module.inputs[0].element) == "ui8"
    (scaling,) = of_kind(module, nn.InputScaling)
    assert (scaling.scale, scaling.shift) == (1.0, 0.0)


@pytest.mark.parametrize(("version", "slope"), [("2.15.0", 0.2), ("3.5.0", 1 / 6)])
def test_hard_sigmoid_is_another_one_since_keras_3(version, slope, tmp_path):
    path = edit(FOLDER / "activations.h5", tmp_path, lambda layers: None, keras_version=version)
    found = [op.alpha for op in of_kind(load_float_model(path), nn.Activation) if op.function == "hard_sigmoid"]
    assert found == [slope]


def test_sequential_models_of_old_are_lists(tmp_path):
    path = Path(shutil.copy(FOLDER / "line.h5", tmp_path / "old.h5"))
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"] = config["config"]["layers"]
        file.attrs["model_config"] = json.dumps(config)
    expected = recorded("line")
    (found,) = run(load_float_model(path), expected.pop("x"))
    assert close(found, list(expected.values())[-1])


# ---- what does not --------------------------------------------------------------------------------------------------


def edit(source, tmp_path, change, **attributes):
    """A copy of a file with another configuration."""
    path = Path(shutil.copy(source, tmp_path / "edited.h5"))
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change({layer["config"]["name"]: layer for layer in config["config"]["layers"]})
        file.attrs["model_config"] = json.dumps(config)
        file.attrs.update(attributes)
    return path


def diagnostics(path):
    with pytest.raises(CompileError) as caught:
        load_float_model(path)
    return caught.value.diagnostics


def setting(layer, **values):
    return lambda layers: layers[layer]["config"].update(values)


def renamed(layer, class_name):
    return lambda layers: layers[layer].update(class_name=class_name)


@pytest.mark.parametrize(
    ("model", "change", "code", "where", "found"),
    [
        ("line", setting("conv2d", data_format="channels_first"), "KERAS-LAYER", "conv2d (Conv2D)", "channels_first"),
        ("line", setting("conv2d", activation="selu"), "KERAS-FLOAT-LAYER", "conv2d (Conv2D)", ""),
        ("line", setting("batch_normalization", axis=1), "KERAS-LAYER", "batch_normalization (BatchNormal", "axis 1"),
        ("line", renamed("flatten", "Cropping2D"), "KERAS-LAYER", "flatten (Cropping2D)", ""),
        ("pooling", setting("average_pooling2d", data_format="channels_first"), "KERAS-LAYER", "average_", "channels_"),
        ("activations", setting("re_lu", threshold=0.5), "KERAS-LAYER", "re_lu (ReLU)", "threshold 0.5"),
        ("activations", setting("re_lu_1", negative_slope=0.5), "KERAS-LAYER", "re_lu_1 (ReLU)", "negative_slope 0.5"),
        ("activations", setting("softmax", axis=[1, 2]), "KERAS-LAYER", "softmax (Softmax)", "axis [1, 2]"),
        ("convolutions", setting("conv2d_transpose", dilation_rate=[2, 2]), "KERAS-LAYER", "conv2d_tran", "(2, 2)"),
        ("convolutions", setting("conv2d_transpose", output_padding=[1, 1]), "KERAS-LAYER", "conv2d_tra", "(1, 1)"),
        ("shapes", setting("up_sampling2d", interpolation="bilinear"), "KERAS-LAYER", "up_sampling2d", "bilinear"),
        ("normalizations", setting("rescaling", scale="x"), "KERAS-CONFIG", "rescaling", "could not convert"),
        ("normalizations", setting("rescaling", scale=[[1, 2], [3, 4]]), "KERAS-LAYER", "rescaling", "[[1, 2], [3"),
        ("normalizations", setting("input_layer", dtype="complex64"), "KERAS-LAYER", "input_layer", "complex64"),
        ("normalizations", setting("normalization", axis=1), "KERAS-LAYER", "normalization (Norm", "axis 1"),
    ],
)
def test_settings_that_no_op_has(model, change, code, where, found, tmp_path):
    first = diagnostics(edit(FOLDER / f"{model}.h5", tmp_path, change))[0]
    assert first.code == code
    assert first.where.startswith(where)
    assert found in first.found


def test_all_layers_that_are_unknown_are_named(tmp_path):
    def change(layers):
        layers["conv2d"]["class_name"] = "LocallyConnected2D"
        layers["max_pooling2d"]["class_name"] = "Lambda"
        layers["flatten"]["class_name"] = "Cropping2D"

    found = diagnostics(edit(FOLDER / "line.h5", tmp_path, change))
    assert [d.where for d in found] == ["conv2d (LocallyConnected2D)", "max_pooling2d (Lambda)", "flatten (Cropping2D)"]
    assert all("Conv2D" in d.allowed for d in found)


def test_what_to_use_instead(tmp_path):
    (found,) = diagnostics(edit(FOLDER / "shapes.h5", tmp_path, renamed("add", "Multiply")))
    assert "squeeze-and-excitation" in found.help


def test_a_model_inside_that_is_called_twice(tmp_path):
    def change(layers):
        nodes = layers["trunk"]["inbound_nodes"]
        nodes.append(nodes[0])

    found = diagnostics(edit(FOLDER / "nested.h5", tmp_path, change))
    assert (found[0].code, found[0].where, found[0].found) == ("KERAS-SHARED", "trunk (Functional)", "2 calls")


def test_one_layer_called_twice(tmp_path):
    def change(layers):
        nodes = layers["add"]["inbound_nodes"]
        nodes.append(nodes[0])

    (found,) = diagnostics(edit(FOLDER / "shapes.h5", tmp_path, change))
    assert (found.code, found.where, found.found) == ("KERAS-SHARED", "add (Add)", "2 calls")


def test_slopes_that_differ(tmp_path):
    path = Path(shutil.copy(FOLDER / "activations.h5", tmp_path / "edited.h5"))
    with h5py.File(path, "r+") as file:
        del file["model_weights/p_re_lu/p_re_lu/alpha"]
        file["model_weights/p_re_lu/p_re_lu/alpha"] = np.array([0.25, 0.5, 0.25], np.float32).reshape(1, 1, 3)
    (found,) = diagnostics(path)
    assert (found.where, found.found) == ("p_re_lu (PReLU)", "slopes from 0.25 to 0.5")


def test_a_quantized_model_is_refused():
    (found,) = diagnostics(EXAMPLES / "mnist_v2_i8_w8_a8.h5")
    assert found.code == "KERAS-QUANTIZED"


def test_convert_says_how_to_quantize():
    with pytest.raises(CompileError) as caught:
        load_model(FOLDER / "line.h5")
    (found,) = caught.value.diagnostics
    assert found.code == "KERAS-FLOAT"
    assert "cnn2snn quantize-float" in found.help
