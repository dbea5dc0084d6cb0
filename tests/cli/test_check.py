"""`cnn2snn check`: every problem of a model in one report, as text and as JSON."""

import json
import re
import shutil
import tempfile
from pathlib import Path

import h5py
import pytest
from generators.recorded import EXAMPLES, FIXTURES
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn2snn_ir.diagnostics import CompileError, Severity
from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.passes.legality.tail import host_layers
from cnn2snn_ir.tools.check import Report, check, render, to_json
from cnn2snn_ir.tools.cnn2snn import main
from cnn2snn_ir.versions import AkidaVersion

MODELS = FIXTURES / "quantizeml"
KWS = MODELS / "kws_i8_w8_a8.h5"
TAIL = MODELS / "float_tail_i8_w8_a8.h5"
SCHEMA = json.loads((FIXTURES.parent.parent / "docs" / "check.schema.json").read_text())
V2 = [AkidaVersion.v2]


@pytest.fixture
def edited(tmp_path):
    """Writes a copy of a model with another configuration."""

    def edit(source: Path, change) -> Path:
        path = Path(shutil.copy(source, tmp_path / "edited.h5"))
        path.chmod(0o644)
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change({r["config"]["name"]: r for r in config["config"]["layers"]}, file["model_weights"])
            file.attrs["model_config"] = json.dumps(config)
        return path

    return edit


def problems(path: Path, allow_float_tail: bool = False) -> list[tuple[str, str]]:
    """Code and layer of every error for Akida 2."""
    report: Report = check(path, V2, allow_float_tail=allow_float_tail)
    return [(d.code, d.where.partition(" ")[0]) for d in report.verdicts[0].of(Severity.ERROR)]


def valid(value, schema) -> str:
    """Why a value does not follow a schema of the few kinds that ours uses; empty if it does."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    if "const" in schema and value != schema["const"]:
        return f"{value!r} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{value!r} is none of {schema['enum']}"
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "null": type(None)}
    wanted = schema.get("type", [])
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if wanted and type(value) not in [kinds[kind] for kind in wanted]:
        return f"{value!r} is no {wanted}"
    if isinstance(value, list):
        return next((fault for item in value if (fault := valid(item, schema["items"]))), "")
    if isinstance(value, dict):
        if set(value) != set(schema["properties"]) or set(schema["required"]) != set(schema["properties"]):
            return f"keys {sorted(value)}"
        return next((fault for key, item in value.items() if (fault := valid(item, schema["properties"][key]))), "")
    return ""


def as_json(arguments, capsys):
    """Exit code and report."""
    code = main(["check", *map(str, arguments), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert valid(report, SCHEMA) == ""
    return code, report


# ---- outcomes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*sorted(MODELS.glob("*.h5")), *sorted(EXAMPLES.glob("*.h5"))], ids=lambda p: p.stem)
def test_check_says_what_convert_does(path, tmp_path, capsys):
    converted = main(["convert", "-m", str(path), "-o", str(tmp_path / "x.fbz")])
    assert main(["check", str(path)]) == converted
    assert capsys.readouterr().out.splitlines()[-1]


def test_a_convertible_model(capsys):
    assert main(["check", str(KWS)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("kws_i8_w8_a8.h5: no problems for Akida 2\n")
    assert "the host computes probabilities (Activation) in float" in out


def test_each_target_has_its_own_problems(capsys):
    code, report = as_json([KWS, "--target", "v1", "--target", "v2"], capsys)
    one, two = report["targets"]
    assert code == 1
    assert {d["code"] for d in one["diagnostics"]} >= {"AK1-MAP-09", "AK1-ACT-02", "AK1-SEP-02", "AK1-POOL-03"}
    assert (one["convertible"], two["convertible"]) == (False, True)
    assert main(["check", str(KWS), "--target", "v1", "--target", "v2"]) == 1
    assert re.match(r"kws_i8_w8_a8.h5: \d+ problems for Akida 1, none for Akida 2\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("device", "problem"),
    [("Akida2FPGA", None), ("AKD1500", "DEVICE-GENERATION"), ("AKD15000", "DEVICE"), ("none.toml", "FILE-MISSING")],
)
def test_a_model_is_placed_on_a_device(capsys, device, problem):
    code, report = as_json([KWS, "--device", device], capsys)
    codes = [d["code"] for d in report["targets"][0]["diagnostics"] if d["severity"] == "error"]
    assert (code, codes) == ((1, [problem]) if problem else (0, []))


def test_warnings_do_not_fail(capsys):
    assert main(["check", str(MODELS / "wide_kernels_fs_w8_a8.h5")]) == 0
    assert "warning  AK2-MAP-02" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "code"),
    [("float", "KERAS-FLOAT"), ("lambda", "KERAS-LAYER"), ("nothing", "FILE-MISSING")],
)
def test_files_that_cannot_be_imported(name, code, capsys):
    exit_code, report = as_json([FIXTURES / "bad" / f"{name}.h5"], capsys)
    assert exit_code == 1
    assert [d["code"] for d in report["targets"][0]["diagnostics"] if d["severity"] == "error"] == [code]


def test_usage_errors(capsys):
    assert main(["check"]) == 2
    assert main(["check", str(KWS), "--target", "v9"]) == 2
    assert capsys.readouterr().out == ""


def test_onnx(tmp_path, capsys):
    assert main(["check", str(tmp_path / "net.onnx")]) == 1
    assert "FILE-MISSING" in capsys.readouterr().out


def test_legalization_can_be_refused(capsys):
    model = str(MODELS / "pools_i8_w8_a8.h5")
    assert main(["check", model]) == 0
    assert "LEGALIZED" in capsys.readouterr().out
    assert main(["check", model, "--no-legalize"]) == 1
    assert "AK2-POOL-01  c1 (QuantizedConv2D)" in capsys.readouterr().out


# ---- everything at once ---------------------------------------------------------------------------------------------


def test_ten_faults_in_one_report(edited):
    def spoil(layers, weights):
        layers["stem"]["config"]["strides"] = [1, 2]
        layers["neck"]["config"]["data_format"] = "channels_first"
        layers["i0_up"]["config"]["groups"] = 2
        layers["i0_dw"]["config"]["depth_multiplier"] = 2
        layers["i0_down"]["config"]["quant_config"]["weight_quantizer"]["bitwidth"] = 2
        layers["i0_add"]["class_name"] = "QuantizedFancy"
        del weights["i1_up"].attrs["weight_names"]
        layers["i1_dw"]["config"]["data_format"] = "channels_first"
        layers["i1_down"]["config"]["strides"] = [2, 1]
        layers["top"]["config"]["groups"] = 4

    found = problems(edited(MODELS / "inverted_i8_w4_a4.h5", spoil))
    assert sorted(found) == sorted(
        [
            ("AK2-CONV-02", "stem"),
            ("KERAS-LAYER", "neck"),
            ("KERAS-LAYER", "i0_up"),
            ("KERAS-LAYER", "i0_dw"),
            ("AK2-CONV-04", "i0_down"),
            ("KERAS-LAYER", "i0_add"),
            ("KERAS-VARIABLE", "i1_up"),
            ("KERAS-LAYER", "i1_dw"),
            ("AK2-CONV-02", "i1_down"),
            ("KERAS-LAYER", "top"),
        ]
    )


def test_faults_of_single_layers_and_of_blocks_and_of_the_tail(edited):
    def spoil(layers, weights):
        convs = [r for r in layers.values() if r["class_name"].endswith("QuantizedConv2D")]
        convs[0]["config"]["strides"] = [1, 2]

    path = edited(TAIL, spoil)
    codes = {code for code, _ in problems(path)}
    assert {"TAIL-FLOAT", "AK2-CONV-02"} <= codes
    assert "TAIL-FLOAT" not in {code for code, _ in problems(path, allow_float_tail=True)}


def test_fusion_is_checked_although_a_single_layer_is_illegal(edited):
    def spoil(layers, weights):
        layers["c0a"]["config"]["strides"] = [2, 1]
        layers["c1b_pool"]["config"].update(pool_size=[1, 2], strides=[1, 2])

    found = problems(edited(MODELS / "vgg_i8_w8_a8.h5", spoil))
    assert ("AK2-CONV-02", "c0a") in found
    assert ("AK2-POOL-02", "c1b") in found or ("AK2-POOL-02", "c1b_pool") in found


def test_fusion_is_checked_although_a_layer_cannot_be_imported(edited):
    def spoil(layers, weights):
        layers["k5"]["config"]["groups"] = 2
        layers["stem_pool"]["config"].update(pool_size=[1, 2], strides=[1, 2])

    found = problems(edited(MODELS / "inception_i8_w8_a8.h5", spoil))
    assert found == [("KERAS-LAYER", "k5"), ("AK2-POOL-02", "stem")]


@pytest.mark.parametrize("name", ["inverted_i8_w4_a4", "vgg_i8_w8_a8", "inception_i8_w8_a8", "kws_i8_w8_a8"])
def test_one_broken_layer_is_one_problem(name, edited):
    """Whatever layer is broken, no layer before or behind it is blamed."""
    source = MODELS / f"{name}.h5"
    broken = [op.loc.name for op in load_model(source).body if isinstance(op, qnn.Conv2D | qnn.DepthwiseConv2D)]
    for victim in dict.fromkeys(broken):

        def spoil(layers, weights, victim=victim):
            layers[victim]["config"]["data_format"] = "channels_first"

        assert problems(edited(source, spoil)) == [("KERAS-LAYER", victim)]


@pytest.mark.parametrize("name", ["inverted_i8_w4_a4", "vgg_i8_w8_a8", "inception_i8_w8_a8", "kws_i8_w8_a8"])
def test_one_unknown_layer_is_one_problem(name, edited):
    source = MODELS / f"{name}.h5"
    for victim in dict.fromkeys(op.loc.name for op in load_model(source).body if op.op_name.startswith("qnn.")):

        def rename(layers, weights, victim=victim):
            layers[victim]["class_name"] = "QuantizedFancy"

        assert problems(edited(source, rename)) == [("KERAS-LAYER", victim)]


def test_a_layer_breaks_a_rule_once(edited):
    def spoil(layers, weights):
        layers["top"]["config"]["strides"] = [1, 2]

    assert problems(edited(MODELS / "inverted_i8_w4_a4.h5", spoil)) == [("AK2-CONV-02", "top")]


# ---- the float tail -------------------------------------------------------------------------------------------------


def test_the_float_tail_needs_consent(tmp_path, capsys):
    assert problems(TAIL) == [("TAIL-FLOAT", "float_classes")]
    assert problems(TAIL, allow_float_tail=True) == []
    assert main(["convert", "-m", str(TAIL), "-o", str(tmp_path / "x.fbz")]) == 1
    assert "TAIL-FLOAT  float_classes (Dense)" in capsys.readouterr().err
    assert main(["convert", "-m", str(TAIL), "-o", str(tmp_path / "x.fbz"), "--allow-float-tail"]) == 0
    assert "the host computes float_relu (ReLU), float_classes (Dense)" in capsys.readouterr().err


def test_convert_in_python_needs_consent_too():
    from cnn2snn_ir import convert

    with pytest.raises(CompileError, match="TAIL-FLOAT  float_classes"):
        convert(TAIL)
    assert convert(TAIL, allow_float_tail=True).tail


def test_host_layers_are_listed(capsys):
    _, report = as_json([TAIL, "--allow-float-tail"], capsys)
    assert [layer["class"] for layer in report["host_layers"]] == ["ReLU", "Dense", "Softmax"]
    assert list(host_layers(load_model(KWS))) == ["probabilities (Activation)"]


# ---- what the report looks like -------------------------------------------------------------------------------------


def test_the_text_names_layer_rule_found_allowed_and_fix(edited):
    def spoil(layers, weights):
        layers["top"]["config"]["strides"] = [1, 2]

    text = render(check(edited(MODELS / "inverted_i8_w4_a4.h5", spoil), V2))
    for part in ("top (QuantizedConv2D)", "strides are equal", "found: 1 and 2", "allowed: equal", "fix: use one"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 130


def test_json_names_layers(edited, capsys):
    def spoil(layers, weights):
        layers["top"]["config"]["strides"] = [1, 2]

    _, report = as_json([edited(MODELS / "inverted_i8_w4_a4.h5", spoil)], capsys)
    (problem,) = [d for d in report["targets"][0]["diagnostics"] if d["severity"] == "error"]
    assert (problem["layer"], problem["class"], problem["found"]) == ("top", "QuantizedConv2D", "1 and 2")


def test_the_hand_written_validator_rejects():
    report = {"schema": 1}
    assert valid(report, SCHEMA) != ""


MUTATIONS = [None, 0, -1, 3, 1 << 40, "x", [], {}, [None], [2, 1], True, 1e300, "channels_first", "valid"]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_odd_configurations_give_a_report(data):
    """Whatever is wrong in whichever layers, the outcome is a report, and an unchanged model stays without problems."""
    source = MODELS / f"{data.draw(st.sampled_from(['inverted_i8_w4_a4', 'vgg_i8_w8_a8', 'float_tail_i8_w8_a8']))}.h5"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copy(source, Path(folder) / "odd.h5"))
        path.chmod(0o644)
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            for _ in range(data.draw(st.integers(1, 3))):
                record = data.draw(st.sampled_from(config["config"]["layers"]))
                if data.draw(st.integers(0, 9)) == 0:
                    record["class_name"] = data.draw(st.sampled_from(["QuantizedFancy", "QuantizedReLU", "Dense", ""]))
                else:
                    key = data.draw(st.sampled_from(list(record["config"])))
                    record["config"][key] = data.draw(st.sampled_from(MUTATIONS))
            file.attrs["model_config"] = json.dumps(config)
        report = check(path, V2)
        assert render(report)
        assert valid(json.loads(to_json(report)), SCHEMA) == ""
