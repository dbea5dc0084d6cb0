"""`cnn2snn calibrate`: which file it writes, what it says, how it fails."""

import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from generators.keras_nets import predict
from generators.recorded import EXAMPLES
from keras import layers as kl

from cnn2snn_ir import load_quantized_model
from cnn2snn_ir.calibration import activations_rescaling, adaround, bias_correction
from cnn2snn_ir.tools.cnn2snn import main
from cnn2snn_ir.transforms import normalize_separable_model

LEGACY = EXAMPLES / "mnist_legacy_iq8_wq4_aq4.h5"
DIGITS = np.load(EXAMPLES / "mnist_1000.npz")
METHODS = ["bc", "adaround"]


@pytest.fixture
def model(tmp_path):
    path = shutil.copy(LEGACY, tmp_path / "my-net v1.2.h5")
    path.chmod(0o644)
    return path


@pytest.fixture
def samples(tmp_path):
    """A file of samples, in a folder of its own."""
    folder = tmp_path / "samples"
    folder.mkdir()

    def write(**arrays):
        np.savez(folder / "s.npz", **arrays)
        return str(folder / "s.npz")

    return write


def calibrated(model, method):
    return load_quantized_model(model.with_name(f"{model.stem}_{method}_calibrated.h5"), compile_model=False)


def failing(arguments, capfd):
    """The codes that a command fails with."""
    assert main(["calibrate", *arguments]) == 1
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return [line.split()[1].rstrip(":") for line in captured.err.splitlines() if line.startswith("error:")]


def same_weights(first, second):
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert first.get_config()["layers"] == second.get_config()["layers"]


def test_bias_correction(model, samples, capfd):
    path = samples(x=DIGITS["x"][:100])
    assert main(["calibrate", "bc", "-m", str(model), "-sa", path, "-bs", "30"]) == 0
    captured = capfd.readouterr()
    written = model.with_name("my-net v1.2_bc_calibrated.h5")
    lines = captured.out.splitlines()
    assert lines[-1] == f"Model successfully calibrated with Bias Correction method and saved as {written}."
    assert [line.partition(":")[0] for line in lines[:-1]] == [
        "conv2d_5", "separable_conv2d", "conv2d_6", "separable_conv2d_1", "dense_1"
    ]  # fmt: skip
    (notice,) = captured.err.splitlines()  # nothing of TensorFlow's
    assert "deprecated" in notice
    assert "quantizeml.models.calibrate" in notice
    original = load_quantized_model(model, compile_model=False)
    x = DIGITS["x"][:100]
    same_weights(
        calibrated(model, "bc"), bias_correction(normalize_separable_model(activations_rescaling(original, x)), x)
    )


def test_adaround(model, samples, capfd):
    x = DIGITS["x"][:60]
    path = samples(x=x)
    arguments = ["-m", str(model), "--samples", path, "--batch_size", "25", "-e", "4", "-lr", "0.02", "-act"]
    assert main(["calibrate", "adaround", *arguments]) == 0
    captured = capfd.readouterr()
    written = model.with_name("my-net v1.2_adaround_calibrated.h5")
    assert (
        captured.out.splitlines()[-1] == f"Model successfully calibrated with AdaRound method and saved as {written}."
    )
    assert len(captured.err.splitlines()) == 1
    original = load_quantized_model(model, compile_model=False)
    ready = normalize_separable_model(activations_rescaling(original, x, 25))
    optimizer = keras.optimizers.Adam(0.02)
    same_weights(
        calibrated(model, "adaround"), adaround(ready, x, optimizer, 4, batch_size=25, include_activation=True)
    )


@pytest.mark.parametrize("method", METHODS)
def test_accuracy_stays(model, method):
    """On all digits, with the labels in the file, and the default options."""
    options = ["-m", str(model), "-sa", str(EXAMPLES / "mnist_1000.npz")]
    assert main(["calibrate", method, *options]) == 0
    classes = predict(calibrated(model, method), DIGITS["x"]).reshape(1000, -1).argmax(axis=1)
    assert np.mean(classes == DIGITS["y"]) > 0.945  # 0.956 before


def test_arrays_are_put_together(model, samples):
    """All arrays of the file but the labels; one of them alone may be called y."""
    main(
        ["calibrate", "bc", "-m", str(model), "-sa", samples(a=DIGITS["x"][:30], b=DIGITS["x"][30:50], y=np.zeros(50))]
    )
    first = calibrated(model, "bc")
    main(["calibrate", "bc", "-m", str(model), "-sa", samples(y=DIGITS["x"][:50])])
    same_weights(first, calibrated(model, "bc"))


def test_output(model, samples, tmp_path):
    mine = tmp_path / "mine.keras"
    assert main(["calibrate", "bc", "-m", str(model), "-sa", samples(x=DIGITS["x"][:20]), "-o", str(mine)]) == 0
    assert load_quantized_model(mine).layers[1].use_bias


# ---- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("arrays", "code"),
    [
        ({"x": np.zeros((3, 28, 28, 3))}, "CALIBRATE-SAMPLES"),
        ({"x": np.zeros((3, 28, 28))}, "CALIBRATE-SAMPLES"),
        ({"x": np.zeros((0, 28, 28, 1))}, "CALIBRATE-SAMPLES"),
        ({"x": np.full((2, 28, 28, 1), np.nan)}, "CALIBRATE-SAMPLES"),
        ({"x": np.full((2, 28, 28, 1), "digit")}, "SAMPLES-FORMAT"),
        ({"a": np.zeros((3, 28, 28, 1)), "b": np.zeros((3, 14, 14, 1))}, "SAMPLES-FORMAT"),
        ({"x": np.float32(3)}, "SAMPLES-FORMAT"),
        ({"x": np.array([{}, []], object)}, "SAMPLES-FORMAT"),
        ({}, "SAMPLES-FORMAT"),
    ],
)
def test_samples_that_the_model_does_not_take(model, samples, method, arrays, code, capfd):
    assert failing([method, "-m", str(model), "-sa", samples(**arrays)], capfd) == [code]
    assert [path for path in model.parent.iterdir() if path.is_file()] == [model]


@pytest.mark.parametrize("method", METHODS)
def test_files_that_are_not_there(model, samples, method, tmp_path, capfd):
    assert failing([method, "-m", str(model), "-sa", str(tmp_path / "none.npz")], capfd) == ["FILE-MISSING"]
    path = samples(x=DIGITS["x"][:2])
    assert failing([method, "-m", str(tmp_path / "none.h5"), "-sa", path], capfd) == ["FILE-MISSING"]
    (tmp_path / "text.npz").write_text("samples")
    assert failing([method, "-m", str(model), "-sa", str(tmp_path / "text.npz")], capfd) == ["SAMPLES-FORMAT"]
    assert failing([method, "-m", str(model), "-sa", path, "-o", str(model)], capfd) == ["FILE-SAME"]


def test_numbers_that_cannot_be(model, samples, capfd):
    common = ["-m", str(model), "-sa", samples(x=DIGITS["x"][:2])]
    assert failing(["bc", *common, "-bs", "0"], capfd) == ["CALIBRATE-ARGUMENT"]
    assert failing(["adaround", *common, "-e", "0"], capfd) == ["CALIBRATE-ARGUMENT"]
    for rate in ("0", "-1", "nan", "inf"):
        assert failing(["adaround", *common, "-lr", rate], capfd) == ["CALIBRATE-ARGUMENT"]


@pytest.mark.parametrize("method", METHODS)
def test_a_float_model_is_refused(samples, tmp_path, method, capfd):
    keras.Sequential([keras.Input((28, 28, 1)), kl.Conv2D(2, 3)]).save(tmp_path / "f.h5")
    arguments = [method, "-m", str(tmp_path / "f.h5"), "-sa", samples(x=DIGITS["x"][:2])]
    assert failing(arguments, capfd) == ["CALIBRATE-FLOAT"]


@pytest.mark.parametrize(
    "arguments", [[], ["bc"], ["nonsense"], ["bc", "-m", "x.h5"], ["adaround", "-sa", "x.npz", "-e", "a"]]
)
def test_wrong_usage(arguments, capfd):
    assert main(["calibrate", *arguments]) == 2
    assert "Usage" in capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["calibrate", "--help"], ["calibrate", "bc", "--help"], ["reshape", "--help"]]
)
def test_help_does_not_start_tensorflow(arguments):
    script = (
        f"import sys; from cnn2snn_ir.tools.cnn2snn import main; main({arguments!r});"
        "print([m for m in ('tensorflow', 'keras', 'numpy') if m in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stderr.splitlines()[-1] == "[]"


def test_the_installed_command_as_a_process(model, samples):
    """In a process of its own, where TensorFlow starts within the command."""
    arguments = ["calibrate", "bc", "-m", str(model), "-sa", samples(x=DIGITS["x"][:20])]
    command = [sys.executable, "-m", "cnn2snn_ir", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=EXAMPLES.parent)
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1].startswith("Model successfully calibrated")
    assert len(result.stderr.splitlines()) == 1
