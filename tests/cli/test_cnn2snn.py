"""The `cnn2snn` command: what it writes, what it prints, how it fails."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from generators.recorded import EXAMPLES, FIXTURES
from generators.streams import FRAMES, streaming_program

from cnn2snn_ir import __version__
from cnn2snn_ir.backends.program import write_program
from cnn2snn_ir.runtime.model import Model
from cnn2snn_ir.tools.cnn2snn import main

MODEL = FIXTURES / "quantizeml" / "kws_i8_w8_a8.h5"
SAMPLES = MODEL.with_suffix(".npz")


@pytest.fixture
def model(tmp_path):
    return shutil.copy(MODEL, tmp_path / "my model.v1.h5")


def test_default_name(model, tmp_path, capsys):
    assert main(["convert", "-m", str(model)]) == 0
    assert (tmp_path / "my model.v1.fbz").is_file()
    captured = capsys.readouterr()
    assert captured.out == f"Model successfully converted and saved as {tmp_path / 'my model.v1.fbz'}.\n"
    assert captured.err == "remark: TAIL-HOST  kws: the host computes probabilities (Activation) in float\n"


def test_output_without_suffix_and_folder(model, tmp_path):
    assert main(["convert", "-m", str(model), "-o", str(tmp_path / "program")]) == 0
    assert (tmp_path / "program.fbz").is_file()
    (tmp_path / "folder").mkdir()
    assert main(["convert", "-m", str(model), "-o", str(tmp_path / "folder")]) == 0
    assert (tmp_path / "folder" / "my model.v1.fbz").is_file()


def test_two_conversions_are_one_file(model, tmp_path):
    for name in ("a", "b"):
        assert main(["convert", "-m", str(model), "-o", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.fbz").read_bytes() == (tmp_path / "b.fbz").read_bytes()


def test_dump_ir(model, tmp_path):
    assert main(["convert", "-m", str(model), "--dump-ir", str(tmp_path / "ir")]) == 0
    dumps = sorted(p.name for p in (tmp_path / "ir").rglob("*.c2s"))
    assert any("fuse-blocks" in name for name in dumps)
    assert any("convert-to-akida2" in name for name in dumps)


def test_run_prints_accuracy(tmp_path, capsys):
    program = tmp_path / "mnist.fbz"
    assert main(["convert", "-m", str(EXAMPLES / "mnist_v2_i8_w4_a4_qat.h5"), "-o", str(program)]) == 0
    assert main(["run", str(program), "-i", str(EXAMPLES / "mnist_1000.npz")]) == 0
    assert "accuracy 0.9460 (946 of 1000)" in capsys.readouterr().out


def test_run_writes_predictions(model, tmp_path):
    program, result = tmp_path / "kws.fbz", tmp_path / "result.npy"
    main(["convert", "-m", str(model), "-o", str(program)])
    np.savez(tmp_path / "x.npz", x=np.load(SAMPLES)["x"])
    assert main(["run", str(program), "-i", str(tmp_path / "x.npz"), "-o", str(result), "-b", "1"]) == 0
    assert np.allclose(np.load(result), np.load(SAMPLES)["__output__"], atol=1e-6)


def test_run_streams(tmp_path, capsys):
    """Steps go in with the memory of those before them; labels are those of every step and stream."""
    write_program(streaming_program(), tmp_path / "x.fbz")
    model = Model(tmp_path / "x.fbz")
    expected = np.stack([model.predict(step) for step in FRAMES])
    labels = expected.reshape(*FRAMES.shape[:2], -1).argmax(axis=-1)
    np.savez(tmp_path / "x.npz", x=FRAMES, y=labels)
    arguments = ["run", str(tmp_path / "x.fbz"), "-i", str(tmp_path / "x.npz"), "-o", str(tmp_path / "out.npy")]
    assert main([*arguments, "-b", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("10 steps of 4 streams, output shape (4,)\n")
    assert "accuracy 1.0000 (40 of 40)" in out
    assert np.array_equal(np.load(tmp_path / "out.npy"), expected)
    np.savez(tmp_path / "x.npz", x=FRAMES, y=labels[:, 0])
    assert "40 samples and 10 labels" in failing(arguments, capsys)


def test_summary(model, tmp_path, capsys):
    main(["convert", "-m", str(model), "-o", str(tmp_path / "kws")])
    assert main(["summary", str(tmp_path / "kws.fbz")]) == 0
    out = capsys.readouterr().out
    for word in ("stem", "InputConv2D", "ds0_dw", "DepthwiseConv2D", "words", "Dense1D"):
        assert word in out


def failing(arguments, capsys):
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("float", "KERAS-FLOAT"),
        ("lambda", "Lambda"),
        ("unsupported_layer", "QuantizedFancy"),
        ("unsupported_mid", "UpSampling2D"),
        ("missing", "FILE-MISSING"),
    ],
)
def test_bad_models_leave_nothing_behind(name, code, tmp_path, capsys):
    err = failing(["convert", "-m", str(FIXTURES / "bad" / f"{name}.h5"), "-o", str(tmp_path / "x.fbz")], capsys)
    assert code in err
    assert f"{name}.h5" in err
    assert list(tmp_path.iterdir()) == []


def test_an_existing_program_survives_a_failure(tmp_path, capsys):
    (tmp_path / "x.fbz").write_bytes(b"old")
    failing(["convert", "-m", str(FIXTURES / "bad" / "float.h5"), "-o", str(tmp_path / "x.fbz")], capsys)
    assert (tmp_path / "x.fbz").read_bytes() == b"old"


def test_an_illegal_model_names_its_layers(tmp_path, capsys):
    model = str(FIXTURES / "quantizeml" / "pools_i8_w8_a8.h5")
    err = failing(["convert", "-m", model, "-o", str(tmp_path), "--no-legalize"], capsys)
    assert "AK2-POOL-01  c1 (QuantizedConv2D)" in err
    assert list(tmp_path.iterdir()) == []


def test_the_model_is_not_overwritten(model, capsys):
    before = model.read_bytes()
    assert "FILE-SAME" in failing(["convert", "-m", str(model), "-o", str(model)], capsys)
    assert model.read_bytes() == before


def test_missing_folder(model, tmp_path, capsys):
    err = failing(["convert", "-m", str(model), "-o", str(tmp_path / "no" / "x.fbz")], capsys)
    assert "no" in err


def test_a_conversion_for_akida_1_says_what_its_neurons_cannot(tmp_path, capsys):
    arguments = ["convert", "-m", str(EXAMPLES / "mnist_v1_i8_w4_a4_ptq.h5"), "-o", str(tmp_path / "v1.fbz")]
    samples = ["--samples", str(EXAMPLES / "mnist_1000.npz")]
    assert main([*arguments, "--target", "v1"]) == 0
    assert re.search(r"note: 9\d of 144 neurons give some potentials a neighbouring level", capsys.readouterr().err)
    before = (tmp_path / "v1.fbz").read_bytes()
    assert main([*arguments, "--target", "v1", *samples]) == 0
    assert (tmp_path / "v1.fbz").read_bytes() != before
    capsys.readouterr()
    missing = [*arguments, "--target", "v1", "--samples", str(tmp_path / "none.npy")]
    assert "FILE-MISSING" in failing(missing, capsys)


def test_copies_of_neurons_make_a_program_for_akida_1_that_is_the_model(tmp_path, capsys):
    model, program = str(EXAMPLES / "mnist_v1_i8_w4_a4_ptq.h5"), str(tmp_path / "v1.fbz")
    assert main(["convert", "-m", model, "-o", program, "--target", "v1", "--copies", "6"]) == 0
    err = capsys.readouterr().err
    assert err.count("6 copies of the 16 channels that it reads: 20 of 32 channels had levels") == 1
    assert "two registers cannot put right, none still" in err
    assert main(["compare", model, program, "-i", str(EXAMPLES / "mnist_1000.npz"), "--count", "60"]) == 0
    assert "7/7 layers compared (6 more are fused into them) on 60 samples: all equal" in capsys.readouterr().out
    assert main(["simulate", program, "-i", str(EXAMPLES / "mnist_1000.npz"), "--device", "AKD1000"]) == 0


@pytest.mark.parametrize(
    ("target", "copies", "found"), [("v2", 2, "2 for v2"), ("v1", 0, "0"), ("v1", 17, "17"), ("v1", -1, "-1")]
)
def test_copies_that_cannot_be(target, copies, found, tmp_path, capsys):
    arguments = ["convert", "-m", str(EXAMPLES / "mnist_v1_i8_w4_a4_ptq.h5"), "-o", str(tmp_path / "v1.fbz")]
    err = failing([*arguments, "--target", target, "--copies", str(copies)], capsys)
    assert "COPIES" in err
    assert f"found: {found}\n" in err
    assert list(tmp_path.iterdir()) == []


def test_target(model, capsys, monkeypatch):
    assert "AK1-ACT-02" in failing(["convert", "-m", str(model), "--target", "v1"], capsys)
    monkeypatch.setenv("CNN2SNN_TARGET_AKIDA_VERSION", "v3")
    err = failing(["convert", "-m", str(model)], capsys)
    assert "CNN2SNN_TARGET_AKIDA_VERSION" in err
    assert "v1, v2" in err


def test_usage_errors(capsys):
    assert main(["convert"]) == 2
    assert main(["nonsense"]) == 2
    assert main(["convert", "-m", "x.h5", "--target", "v9"]) == 2
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip().endswith(__version__)


def test_samples_that_do_not_fit(model, tmp_path, capsys):
    program = tmp_path / "kws.fbz"
    main(["convert", "-m", str(model), "-o", str(program)])
    capsys.readouterr()
    np.save(tmp_path / "small.npy", np.zeros((2, 3, 3, 1), np.uint8))
    assert "(batch, 49, 10, 1)" in failing(["run", str(program), "-i", str(tmp_path / "small.npy")], capsys)
    np.save(tmp_path / "negative.npy", np.full((2, 49, 10, 1), -1))
    assert "0 to 255" in failing(["run", str(program), "-i", str(tmp_path / "negative.npy")], capsys)
    np.savez(tmp_path / "labels.npz", x=np.zeros((2, 49, 10, 1), np.uint8), y=np.zeros(3))
    assert "3 labels" in failing(["run", str(program), "-i", str(tmp_path / "labels.npz")], capsys)
    (tmp_path / "text.npz").write_text("x")
    assert "SAMPLES-FORMAT" in failing(["run", str(program), "-i", str(tmp_path / "text.npz")], capsys)
    assert "FILE-MISSING" in failing(["run", str(program), "-i", str(tmp_path / "none.npz")], capsys)


def test_not_a_program(model, capsys):
    assert "FBZ-" in failing(["summary", str(model)], capsys)


@pytest.mark.parametrize("module", ["cnn2snn_ir"])
def test_python_dash_m(module):
    result = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True)
    assert __version__ in result.stdout


def test_shadowing_command_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "cnn2snn").write_text("#!/bin/sh\n# another package\n")
    (tmp_path / "cnn2snn").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["cnn2snn-ir"])
    main(["--version"])
    assert "belongs to another package" in capsys.readouterr().err


def test_a_bug_of_ours_is_a_sentence(model, capsys, monkeypatch):
    import cnn2snn_ir.api

    def broken(*arguments, **options):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(cnn2snn_ir.api, "compile_model", broken)
    assert main(["convert", "-m", str(model)]) == 70
    assert "internal error: ZeroDivisionError: oops" in capsys.readouterr().err
    monkeypatch.setenv("CNN2SNN_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["convert", "-m", str(model)])
