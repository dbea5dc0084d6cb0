"""Settings of QuantizeML's layers that no integer layer has: each is refused where it stands, by its name."""

import json
import shutil
from pathlib import Path

import h5py
import pytest
from generators.recorded import FIXTURES

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.frontends import load_model

FOLDERS = [FIXTURES / "quantizeml", FIXTURES / "layers"]

SETTINGS = [
    ("QuantizedRescaling", "offset", 0.5),
    ("QuantizedConv2D", "data_format", "channels_first"),
    ("QuantizedConv2D", "groups", 2),
    ("QuantizedDepthwiseConv2D", "data_format", "channels_first"),
    ("QuantizedDepthwiseConv2D", "depth_multiplier", 2),
    ("QuantizedSeparableConv2D", "data_format", "channels_first"),
    ("QuantizedSeparableConv2D", "depth_multiplier", 2),
    ("QuantizedConv2DTranspose", "data_format", "channels_first"),
    ("QuantizedConv2DTranspose", "dilation_rate", [2, 2]),
    ("QuantizedConv2DTranspose", "output_padding", [1, 1]),
    ("QuantizedDepthwiseConv2DTranspose", "depth_multiplier", 2),
    ("QuantizedReLU", "negative_slope", 0.1),
    ("QuantizedReLU", "threshold", 0.5),
    ("QuantizedMaxPool2D", "data_format", "channels_first"),
    ("QuantizedGlobalAveragePooling2D", "data_format", "channels_first"),
]


def layers(file):
    return json.loads(file.attrs["model_config"])["config"]["layers"]


def model_with(kind):
    """A recorded model that has such a layer."""
    for path in (path for folder in FOLDERS for path in sorted(folder.glob("*.h5"))):
        with h5py.File(path) as file:
            if any(layer["class_name"].split(">")[-1] == kind for layer in layers(file)):
                return path
    return pytest.fail(f"no fixture has a {kind}")


def edited(kind, change, tmp_path):
    """A copy in which every such layer has another configuration, and the names of these layers."""
    path = Path(shutil.copy(model_with(kind), tmp_path / "edited.h5"))
    path.chmod(0o644)
    names = []
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            if layer["class_name"].split(">")[-1] == kind:
                change(layer["config"])
                names.append(layer["config"]["name"])
        file.attrs["model_config"] = json.dumps(config)
    return path, names


@pytest.mark.parametrize(("kind", "key", "value"), SETTINGS)
def test_a_setting_is_refused_by_its_name(kind, key, value, tmp_path):
    path, names = edited(kind, lambda config: config.update({key: value}), tmp_path)
    with pytest.raises(CompileError) as caught:
        load_model(path)
    found = [d for d in caught.value.diagnostics if d.message == f"{key} is not supported"]
    assert found
    assert {d.where.split()[0] for d in found} <= set(names)  # a layer behind another that is refused is not looked at
    assert all(d.found == str(tuple(value) if isinstance(value, list) else value) for d in found)


@pytest.mark.parametrize(("kind", "key"), [s[:2] for s in SETTINGS])
def test_a_setting_that_is_absent_is_the_usual_one(kind, key, tmp_path):
    path, _ = edited(kind, lambda config: config.pop(key, None), tmp_path)
    assert load_model(path)
