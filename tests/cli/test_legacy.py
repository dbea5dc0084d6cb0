"""Legacy models through the public functions and commands: input scaling, targets, lists of problems."""

import json
import warnings

import numpy as np
import pytest
from generators.legacy import Line, write_h5
from generators.recorded import EXAMPLES, FIXTURES

import cnn2snn_ir
from cnn2snn_ir import CompileError, api
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.passes.legacy_pipeline import legacy_to_qnn
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.reference import run
from cnn2snn_ir.tools.cnn2snn import main
from cnn2snn_ir.tools.opt import main as opt
from cnn2snn_ir.versions import AkidaVersion

MNIST = EXAMPLES / "mnist_legacy_iq8_wq4_aq4.h5"
NAN, INFINITY = float("nan"), float("inf")
QUANTIZEML = FIXTURES / "quantizeml" / "vector_mlp_fs_w8_a8.h5"


@pytest.fixture
def unscaled(tmp_path):
    """A model without a Rescaling layer."""
    line = Line((6, 6, 1), name="unscaled").conv(1, 3, bits=8, padding="valid").relu().add("Flatten").dense(48, 4)
    return write_h5(line, tmp_path / "unscaled.h5")


def codes(error):
    return [d.code for d in error.value.diagnostics]


# ---- input scaling --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", [(255, 0), (127.5, 127.5), (2.5, 3)])
def test_input_scaling_is_about_what_the_model_reads(scaling, unscaled):
    """The integers `scale · x + shift` give what the model gives for x."""
    module = load_model(unscaled)
    PassManager(legacy_to_qnn(scaling)).run(module)
    integers = np.random.default_rng(1).integers(0, 256, (20, 6, 6, 1))
    (found,) = run(module, integers)
    (expected,) = run(load_model(unscaled), ((integers - scaling[1]) / scaling[0]).astype(np.float32))
    unit = module.outputs[0].owner.scale.array
    assert (np.abs(found - expected) <= unit / 2 + 1e-5 * np.abs(expected).max()).all()
    program = cnn2snn_ir.convert(unscaled, None, scaling).predict(integers.astype(np.uint8))
    assert np.abs(program.reshape(expected.shape) - expected).mean() <= 0.05 * np.abs(expected).max()


def test_without_a_scaling_the_model_reads_integers(unscaled):
    module, _ = api.compile_model(unscaled)
    assert str(module.inputs[0].element) == "ui8"
    assert module.annotations["pipeline"]


@pytest.mark.parametrize(
    "scaling", [(0, 0), (-2.0, 1), (float("nan"), 0), (float("inf"), 0), (1.0, float("nan")), 255, "255", (1, "x")]
)
def test_scalings_that_make_no_sense(scaling, unscaled):
    with pytest.raises(CompileError) as error:
        api.compile_model(unscaled, input_scaling=scaling)
    assert codes(error) == ["INPUT-SCALING"]


def test_a_rescaling_layer_and_an_argument():
    with pytest.raises(CompileError, match="both scale the input") as error:
        api.compile_model(MNIST, input_scaling=(255, 0))
    assert codes(error) == ["INPUT-SCALING"]
    assert "rescaling_1 (Rescaling)" in error.value.render()


def test_a_model_of_quantizeml_ignores_it_and_says_so():
    with pytest.warns(UserWarning, match="the input scaling is ignored"):
        model = cnn2snn_ir.convert(QUANTIZEML, input_scaling=(255, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = cnn2snn_ir.convert(QUANTIZEML)
    x = np.random.default_rng(0).standard_normal((3, *model.input_shape)).astype(np.float32)
    assert np.array_equal(model.predict(x), again.predict(x))


# ---- targets --------------------------------------------------------------------------------------------------------


def test_legacy_models_are_for_akida_1():
    module = load_model(MNIST)
    assert isinstance(module, Module)
    assert api.version_for(module, None) is AkidaVersion.v1
    assert api.version_for(module, "v1") is AkidaVersion.v1
    with pytest.raises(CompileError, match="Akida 1 only"):
        api.version_for(module, "v2")


def test_a_program_that_differs_is_refused(unscaled, monkeypatch):
    """The trial that ends a conversion covers the way from reals to integers."""
    from cnn2snn_ir.passes.potentials import activations as fold

    exact = fold.smallest_above
    monkeypatch.setattr(fold, "smallest_above", lambda z, h, n: [t + 2000 for t in exact(z, h, n)])
    with pytest.raises(CompileError, match="a bug of the compiler"):
        api.compile_model(unscaled)


# ---- commands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [["-sc", "255"], ["-sh", "0"], ["--scale", "255"]])
def test_scale_and_shift_go_together(given, unscaled, capsys):
    assert main(["convert", "-m", str(unscaled), *given]) == 2
    assert "go together" in capsys.readouterr().err


def test_the_deprecated_options_name_their_replacement(unscaled, tmp_path, capsys):
    assert main(["convert", "-m", str(unscaled), "-sc", "127.5", "-sh", "127.5", "-o", str(tmp_path / "x.fbz")]) == 0
    err = capsys.readouterr().err
    assert "deprecated" in err
    assert "Rescaling(scale=0.00784314, offset=-1)" in err
    x = np.random.default_rng(2).integers(0, 256, (5, 6, 6, 1)).astype(np.uint8)
    expected = cnn2snn_ir.convert(unscaled, input_scaling=(127.5, 127.5)).predict(x)
    assert np.array_equal(cnn2snn_ir.load(tmp_path / "x.fbz").predict(x), expected)
    assert not np.array_equal(cnn2snn_ir.convert(unscaled).predict(x), expected)


def test_check_lists_every_problem(tmp_path, capsys):
    line = Line((8, 8, 1)).rescaling().conv(1, 6, bits=8, name="first").relu(3, name="three").batchnorm(6, name="late")
    path = write_h5(line.conv(6, 4, bits=5, name="five"), tmp_path / "bad.h5")
    assert main(["check", str(path)]) == 1
    out = capsys.readouterr().out
    for code in ("LEG-ACT-01", "LEG-BN-01", "LEG-WEIGHTS-02"):
        assert code in out


def test_check_for_akida_2(capsys):
    assert main(["check", str(MNIST), "--target", "v2"]) == 1
    out = capsys.readouterr().out
    assert "1 problem for Akida 2" in out
    assert "Akida 1 only" in out


def test_faults_of_an_import(tmp_path, capsys):
    path = write_h5(Line((8, 8, 1)).conv(1, 6).add("Fancy", "fancy"), tmp_path / "bad.h5")
    assert main(["check", str(path)]) == 1
    assert "fancy (Fancy)" in capsys.readouterr().out


def test_the_pipeline_by_name(capsys):
    assert opt([str(MNIST), "-p", "legacy-to-qnn", "--validate-each=1", "--verify-roundtrip"]) == 0
    out = capsys.readouterr().out
    assert "qnn.threshold" in out
    assert "nn.conv2d" not in out.replace("qnn.conv2d", "")


def test_explain_a_rule(capsys):
    assert main(["explain", "LEG-BN-01"]) == 0
    assert "between its layer and the activation" in capsys.readouterr().out


def test_compare_program_and_integers(tmp_path, capsys):
    """The first layer's levels are all right on these images; the registers of the last differ a little."""
    assert main(["convert", "-m", str(MNIST), "-o", str(tmp_path / "x.fbz")]) == 0
    main(["compare", str(MNIST), str(tmp_path / "x.fbz"), "-i", str(EXAMPLES / "mnist_1000.npz"), "--count", "5"])
    out = capsys.readouterr().out
    assert "layers compared" in out
    assert "integers  reference semantics" in out
    assert "0.4000000059604645" not in out


def test_compare_uses_the_scaling_of_the_program(unscaled, tmp_path, capsys):
    program = tmp_path / "x.fbz"
    cnn2snn_ir.convert(unscaled, program, (127.5, 127.5))
    assert "apply-input-scaling{scale=127.5 shift=127.5}" in cnn2snn_ir.load(program).module.annotations["pipeline"]
    np.save(tmp_path / "x.npy", np.random.default_rng(3).integers(0, 256, (5, 6, 6, 1)).astype(np.uint8))
    main(["compare", str(unscaled), str(program), "-i", str(tmp_path / "x.npy"), "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert "quantizeddense_4" in str(rows)


def test_explain_a_layer(capsys):
    assert main(["explain", str(MNIST), "--layer", "separable_conv2d"]) == 0
    out = capsys.readouterr().out
    assert "nn.depthwise_conv2d" in out
    assert "on Akida 1: SeparableConvolutional" in out
