"""Files that load, and files that do not: one clear diagnostic each, naming file and layer."""

import contextlib
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from generators.recorded import EXAMPLES, FIXTURES
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.text import print_module

GOOD = FIXTURES / "quantizeml" / "vector_mlp_fs_w8_a8.h5"
BAD = FIXTURES / "bad"


def diagnostics(path):
    with pytest.raises(CompileError) as caught:
        load_model(path)
    return caught.value.diagnostics


def without_source(module):
    module.annotations.clear()
    return print_module(module, locations=True)


def edit(tmp_path, change, source=GOOD):
    """A copy of a file with another configuration."""
    path = Path(shutil.copy(source, tmp_path / "edited.h5"))
    path.chmod(0o644)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config["config"]["layers"], file)
        file.attrs["model_config"] = json.dumps(config)
    return path


# ---- what loads ---------------------------------------------------------------------------------------------------


def test_a_keras_archive_is_the_same_model():
    stem = FIXTURES / "quantizeml" / "float_tail_i8_w8_a8"
    from_zip, from_h5 = (load_model(stem.with_suffix(s)) for s in (".keras", ".h5"))
    assert without_source(from_zip) == without_source(from_h5)


def test_optimizer_state_is_ignored():
    trained = FIXTURES / "quantizeml" / "vector_mlp_fs_w8_a8_trained.h5"
    with h5py.File(trained) as file:
        assert "optimizer_weights" in file
    assert load_model(trained).annotations["source"] == trained.name


def test_names_with_slashes():
    module = load_model(FIXTURES / "quantizeml" / "named_stages_i8_w8_a8.h5")
    assert "block_1/conv" in {op.results[0].name for op in module.body if op.results}


def test_names_as_bytes(tmp_path):
    path = Path(shutil.copy(GOOD, tmp_path / "bytes.h5"))
    with h5py.File(path, "r+") as file:
        groups = [(file["model_weights"], "layer_names")]
        groups += [(g, "weight_names") for g in file["model_weights"].values() if "weight_names" in g.attrs]
        for group, key in groups:
            group.attrs[key] = np.array([str(n, "utf-8") if isinstance(n, bytes) else n for n in group.attrs[key]], "S")
        file.attrs["model_config"] = file.attrs["model_config"].encode()
    assert without_source(load_model(path)) == without_source(load_model(GOOD))


def test_the_suffix_does_not_matter(tmp_path):
    path = shutil.copy(GOOD, tmp_path / "a model.v2.hdf5")
    assert without_source(load_model(path)) == without_source(load_model(GOOD))


# ---- what does not ------------------------------------------------------------------------------------------------


def test_missing(tmp_path):
    (found,) = diagnostics(tmp_path / "nope.h5")
    assert (found.code, found.where) == ("FILE-MISSING", str(tmp_path / "nope.h5"))


def test_folder(tmp_path):
    assert diagnostics(tmp_path)[0].code == "FILE-DIRECTORY"


def test_empty(tmp_path):
    (tmp_path / "empty.h5").touch()
    assert diagnostics(tmp_path / "empty.h5")[0].code == "FILE-EMPTY"


def test_not_hdf5(tmp_path):
    (tmp_path / "text.h5").write_text("hello")
    assert diagnostics(tmp_path / "text.h5")[0].code == "FILE-FORMAT"


@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("source", [GOOD, FIXTURES / "quantizeml" / "float_tail_i8_w8_a8.keras"])
def test_truncated(part, source, tmp_path):
    data = source.read_bytes()
    path = tmp_path / f"truncated{source.suffix}"
    path.write_bytes(data[: int(len(data) * part)])
    (found,) = diagnostics(path)
    assert (found.code, found.where) == ("FILE-DAMAGED", str(path))


def test_float_model():
    (found,) = diagnostics(BAD / "float.h5")
    assert found.code == "KERAS-FLOAT"
    assert "quantize" in found.help


def test_unsupported_layer_is_named():
    (found,) = diagnostics(BAD / "unsupported_layer.h5")
    assert (found.code, found.where) == ("KERAS-LAYER", "c1 (QuantizedFancy)")


def test_float_layers_in_the_middle_are_all_named():
    found = diagnostics(BAD / "unsupported_mid.h5")
    assert found[0].code == "KERAS-FLOAT-LAYER"
    assert "UpSampling2D" in found[0].where


def test_lambda_code_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (found,) = diagnostics(BAD / "lambda.h5")
    assert "Lambda" in found.where
    assert list(tmp_path.iterdir()) == []


def test_weights_without_a_model(tmp_path):
    path = Path(shutil.copy(GOOD, tmp_path / "weights.h5"))
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
    assert diagnostics(path)[0].code == "KERAS-NO-CONFIG"


def test_missing_variable(tmp_path):
    def drop(layers, file):
        group = next(g for g in file["model_weights"].values() if len(g.attrs.get("weight_names", [])))
        group.attrs["weight_names"] = group.attrs["weight_names"][:0]

    (found,) = diagnostics(edit(tmp_path, drop))
    assert found.code == "KERAS-VARIABLE"


def test_variable_that_is_not_finite(tmp_path):
    def spoil(layers, file):
        names = []
        file["model_weights"].visititems(lambda n, o: names.append(n) if isinstance(o, h5py.Dataset) else None)
        data = file["model_weights"][names[0]]
        data[...] = np.full(data.shape, np.nan, np.float32)

    assert diagnostics(edit(tmp_path, spoil))[0].code == "KERAS-NAN"


def test_external_links_are_not_followed(tmp_path):
    def link(layers, file):
        weights = file["model_weights"]
        name = next(iter(weights))
        del weights[name]
        weights[name] = h5py.ExternalLink("/etc/hostname", "/")

    assert diagnostics(edit(tmp_path, link))[0].code == "KERAS-LINK"


def test_external_storage_is_not_read(tmp_path):
    def store_outside(layers, file):
        names = []
        file["model_weights"].visititems(lambda n, o: names.append(n) if isinstance(o, h5py.Dataset) else None)
        shape = file["model_weights"][names[0]].shape
        del file["model_weights"][names[0]]
        size = int(np.prod(shape, dtype=int)) * 4
        outside = [(str(tmp_path / "outside.bin"), 0, size)]
        file["model_weights"].create_dataset(names[0], shape, "f4", external=outside)

    assert diagnostics(edit(tmp_path, store_outside))[0].code == "KERAS-LINK"


def test_all_faults_at_once(tmp_path):
    def break_two(layers, file):
        convs = [r for r in layers if "Conv2D" in r["class_name"]]
        convs[0]["config"]["groups"] = 2
        convs[1]["config"]["data_format"] = "channels_first"

    path = edit(tmp_path, break_two, FIXTURES / "quantizeml" / "inception_i8_w8_a8.h5")
    assert len(diagnostics(path)) >= 1
    assert diagnostics(path)[0].where.endswith("(QuantizedConv2D)")


MUTATIONS = [None, 0, -1, 1 << 40, "x", [], {}, [None], True, 1e300, "channels_first"]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_odd_configurations_give_a_model_or_a_diagnostic(data):
    """Whatever a configuration says, the outcome is a module or a CompileError."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        source = FIXTURES / "quantizeml" / "float_tail_i8_w8_a8.h5"

        def mutate(layers, file):
            record = data.draw(st.sampled_from(layers))
            config = record["config"]
            keys = [*config, *(("quant_config",) if "quant_config" in config else ())]
            key = data.draw(st.sampled_from(keys))
            target = config
            if key == "quant_config" and config[key] and data.draw(st.booleans()):
                target = config[key]
                key = data.draw(st.sampled_from(list(target)))
            target[key] = data.draw(st.sampled_from(MUTATIONS))

        path = edit(Path(folder), mutate, source)
        with contextlib.suppress(CompileError):
            load_model(path)


def test_examples_are_ordinary_files():
    for path in EXAMPLES.glob("mnist_v2_i8_*.h5"):
        assert load_model(path).sym_name


def test_a_scale_of_zero(tmp_path):
    def zero(layers, file):
        next(r for r in layers if r["class_name"].endswith("Rescaling"))["config"]["scale"] = 0

    (found,) = diagnostics(edit(tmp_path, zero, FIXTURES / "quantizeml" / "kws_i8_w8_a8.h5"))
    assert found.code == "KERAS-CONFIG"
