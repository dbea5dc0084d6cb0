"""The Python API: names, targets, live models."""

import logging
import shutil
import warnings

import numpy as np
import pytest
from generators.recorded import EXAMPLES, FIXTURES

import cnn2snn_ir
from cnn2snn_ir import AkidaVersion, CompileError, Model, convert, get_akida_version, load, set_akida_version

KWS = FIXTURES / "quantizeml" / "kws_i8_w8_a8.h5"
KERAS = FIXTURES / "quantizeml" / "float_tail_i8_w8_a8.h5"


@pytest.fixture
def expected():
    with np.load(KERAS.with_suffix(".npz")) as archive:
        return archive["x"], archive["__output__"]


def test_public_names():
    assert set(cnn2snn_ir.__all__) <= set(dir(cnn2snn_ir))
    for name in cnn2snn_ir.__all__:
        try:
            assert getattr(cnn2snn_ir, name) is not None
        except ImportError as error:  # names of the Keras API, without Keras
            assert "pip install 'cnn2snn-ir[keras]'" in str(error)  # noqa: PT017
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = cnn2snn_ir.nonsense


def test_convert_save_load_run(tmp_path, expected):
    x, output = expected
    model = convert(KERAS, tmp_path / "net", allow_float_tail=True)
    again = load(tmp_path / "net.fbz")
    assert isinstance(again, Model)
    assert np.array_equal(model.predict(x), again.predict(x))
    assert np.allclose(again.predict(x), output, atol=1e-6)
    assert np.array_equal(model.forward(x), again.forward(x))


class Broken:
    """A live model whose file is no model."""

    name = "mine"

    def save(self, filepath):
        logging.getLogger("absl").warning("save something else")
        warnings.warn("You are saving your model as an HDF5 file via `model.save()`.", UserWarning, stacklevel=1)
        shutil.copy(EXAMPLES / "mnist_1000.npz", filepath)


def test_what_is_wrong_with_a_live_model_names_the_model(caplog):
    """Not the file that it was saved to, nor what Keras thinks of that."""
    level = logging.getLogger("absl").level
    with pytest.raises(CompileError) as caught:
        convert(Broken())
    assert {d.where for d in caught.value.diagnostics} == {"mine.h5"}
    assert "/" not in caught.value.render()
    assert not caplog.records
    assert logging.getLogger("absl").level == level


def test_a_live_model_saves_itself(expected):
    class Live:
        """What convert needs of a Keras model."""

        name = "live/model"

        def save(self, path):
            shutil.copy(KERAS, path)

    x, output = expected
    assert np.allclose(convert(Live(), allow_float_tail=True).predict(x), output, atol=1e-6)


def test_other_objects_are_refused():
    with pytest.raises(CompileError, match="MODEL-TYPE"):
        convert(3)


def test_version_in_force(monkeypatch):
    monkeypatch.delenv("CNN2SNN_TARGET_AKIDA_VERSION", raising=False)
    assert get_akida_version() is AkidaVersion.v2
    monkeypatch.setenv("CNN2SNN_TARGET_AKIDA_VERSION", "v1")
    assert get_akida_version() is AkidaVersion.v1
    with set_akida_version(AkidaVersion.v2):
        assert get_akida_version() is AkidaVersion.v2
        with set_akida_version("v1"):
            assert get_akida_version() is AkidaVersion.v1
        assert get_akida_version() is AkidaVersion.v2
    assert get_akida_version() is AkidaVersion.v1
    monkeypatch.setenv("CNN2SNN_TARGET_AKIDA_VERSION", "2")
    with pytest.raises(CompileError, match="CNN2SNN_TARGET_AKIDA_VERSION"):
        get_akida_version()
    with pytest.raises(CompileError, match="v1, v2"), set_akida_version("akida2"):
        pass


def test_the_version_is_restored_after_an_error():
    with pytest.raises(ZeroDivisionError), set_akida_version("v1"):
        raise ZeroDivisionError
    assert get_akida_version() is AkidaVersion.v2


def test_the_target_decides_what_is_legal():
    for convert_for_v1 in (lambda: convert(KWS, target="v1"), lambda: within_v1(KWS)):
        with pytest.raises(CompileError) as caught:
            convert_for_v1()
        assert {d.code.partition("-")[0] for d in caught.value.diagnostics} == {"AK1"}
    assert convert(KWS).module.annotations["target"] == "v2"


def within_v1(path):
    with set_akida_version("v1"):
        return convert(path)


def test_manifest(tmp_path):
    from cnn2snn_ir.backends.program import read_manifest

    convert(KERAS, tmp_path / "net.fbz", allow_float_tail=True)
    manifest = read_manifest(tmp_path / "net.fbz")
    assert (manifest.source, manifest.target) == (KERAS.name, "v2")
    assert manifest.pipeline.startswith("builtin.module(canonicalize,")
    assert len(manifest.source_sha256) == 64
