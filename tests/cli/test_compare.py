"""`cnn2snn compare`: equal programs, planted differences, streams step by step, and honest coverage."""

import json

import numpy as np
import pytest
from generators.recorded import EXAMPLES, FIXTURES
from generators.streams import FRAMES, streaming_program, write_signed

from cnn2snn_ir.api import compile_model
from cnn2snn_ir.backends.program import write_program
from cnn2snn_ir.ir import Tensor
from cnn2snn_ir.runtime import comparison
from cnn2snn_ir.runtime.comparison import bucket, compare_levels, merged, reference_level
from cnn2snn_ir.tools.cnn2snn import main

MODELS = FIXTURES / "quantizeml"
MNIST, SAMPLES = EXAMPLES / "mnist_v2_i8_w8_a8.h5", EXAMPLES / "mnist_1000.npz"


def edited_program(path, layer, change, model=MNIST):
    """Write a program in which a variable of one layer is another."""
    module, _ = compile_model(model, allow_float_tail=True)
    op = next(op for op in module.body if op.results and op.results[0].name == layer)
    for name, edit in change.items():
        tensor = op.attributes[name]
        op.attributes[name] = Tensor.of(edit(tensor.array.copy()), tensor.type.element, tensor.name)
    write_program(module, path)
    return path


def report(arguments, capsys):
    code = main(["compare", *map(str, arguments), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out)


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    path = tmp_path_factory.mktemp("programs") / "mnist.fbz"
    write_program(compile_model(MNIST)[0], path)
    return path


def one_more(array):
    array.reshape(-1)[0] += 1
    return array


def test_equal(mnist, capsys):
    assert main(["compare", str(MNIST), str(mnist), "-i", str(SAMPLES), "--count", "20"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("11/11 layers compared (9 more are fused into them) on 20 samples: all equal\n")
    assert "  max_pooling2d in re_lu_3\n" in out
    for level in ("imported", "compiled", "program"):
        assert f"  {level}" in out


def test_neurons_of_akida_1_may_be_off_by_what_they_state(tmp_path, capsys):
    model, program = EXAMPLES / "mnist_v1_i8_w4_a4_ptq.h5", tmp_path / "v1.fbz"
    module, _ = compile_model(model, target="v1")
    write_program(module, program)
    code, data = report([model, program, "-i", SAMPLES, "--count", "20"], capsys)
    assert (code, data["equal"], data["as_stated"]) == (0, False, True)
    layer = next(op for op in module.body if op.results and op.results[0].name == "re_lu_11")
    layer.threshold = Tensor.of(layer.threshold.array + 30, layer.threshold.type.element, "threshold")
    write_program(module, program)
    assert main(["compare", str(model), str(program), "-i", str(SAMPLES), "--count", "20"]) == 1
    assert "is, but for re_lu_11, which are off by more" in capsys.readouterr().out


def test_every_layer_is_accounted_for(mnist, capsys):
    code, data = report([MNIST, mnist, "-i", SAMPLES, "--count", "3"], capsys)
    assert (code, data["equal"], data["samples"]) == (0, True, 3)
    assert {v["status"] for v in data["values"]} == {"equal", "fused"}
    names = [v["name"] for v in data["values"]]
    assert names[:3] == ["input_quantizer", "conv2d", "re_lu"]
    assert all(v["levels"] == ["imported", "compiled", "program"] for v in data["values"] if v["status"] == "equal")


@pytest.mark.parametrize("name", ["vgg_i8_w8_a8", "inception_i8_w8_a8", "kws_i8_w4_a4_pt", "float_tail_i8_w8_a8"])
def test_recorded_models_are_equal(name, tmp_path, capsys):
    path = MODELS / f"{name}.h5"
    write_program(compile_model(path, allow_float_tail=True)[0], tmp_path / "x.fbz")
    np.savez(tmp_path / "x.npz", x=np.load(path.with_suffix(".npz"))["x"])
    code, data = report([path, tmp_path / "x.fbz", "-i", tmp_path / "x.npz"], capsys)
    assert (code, data["compared"]) == (0, data["layers"])


def test_as_keras_shows_what_keras_rounds(tmp_path, capsys):
    path = MODELS / "ties_fs_w8_a8.h5"
    write_program(compile_model(path)[0], tmp_path / "x.fbz")
    np.savez(tmp_path / "x.npz", x=np.load(path.with_suffix(".npz"))["x"])
    arguments = [path, tmp_path / "x.fbz", "-i", tmp_path / "x.npz"]
    assert report(arguments, capsys)[0] == 0
    code, data = report([*arguments, "--as-keras"], capsys)
    assert (code, data["first_difference"]) == (1, "fc_relu")
    differences = next(v for v in data["values"] if v["name"] == "fc_relu")["differences"]
    assert [(d["level"], d["histogram"]) for d in differences] == [("compiled", {"-1": 4}), ("program", {"-1": 4})]


def test_a_planted_difference(tmp_path, capsys):
    program = edited_program(tmp_path / "x.fbz", "re_lu_3", {"output_shift": one_more})
    code, data = report([MNIST, program, "-i", SAMPLES, "--count", "10"], capsys)
    assert (code, data["first_difference"]) == (1, "re_lu_3")
    (difference,) = next(v for v in data["values"] if v["name"] == "re_lu_3")["differences"]
    assert (difference["level"], difference["against"]) == ("program", "imported")
    assert difference["differing"] == sum(difference["histogram"].values()) > 0
    assert difference["first"]["index"][-1] == 0  # only channel 0 was changed
    assert main(["compare", str(MNIST), str(program), "-i", str(SAMPLES), "--count", "10"]) == 1
    out = capsys.readouterr().out
    first = difference["first"]
    place = f"re_lu_3 at {first['index']} of sample {first['sample']}"
    assert f"first difference: {place}: imported {first['expected']}, program {first['found']}" in out


def test_one_weight_is_enough(tmp_path, capsys):
    program = edited_program(tmp_path / "x.fbz", "dense", {"weights": one_more})
    _, data = report([MNIST, program, "-i", SAMPLES, "--count", "50"], capsys)
    assert {v["name"] for v in data["values"] if v["status"] == "different"} == {"dense", "dequantizer"}


def test_chunks_do_not_matter(tmp_path, monkeypatch, capsys):
    program = edited_program(tmp_path / "x.fbz", "re_lu_3", {"weights": one_more})
    arguments = [MNIST, program, "-i", SAMPLES, "--count", "13"]
    whole = report(arguments, capsys)
    monkeypatch.setattr(comparison, "CHUNK_BYTES", 1)
    assert report(arguments, capsys) == whole


def test_another_program_is_not_equal(mnist, capsys):
    other = EXAMPLES / "mnist_v2_i8_w4_a4_qat.h5"
    code, data = report([other, mnist, "-i", SAMPLES, "--count", "2"], capsys)
    assert code == 1
    assert not data["equal"]
    assert main(["compare", str(other), str(mnist), "-i", str(SAMPLES), "--count", "2"]) == 1
    assert "not compared:" in capsys.readouterr().out


def test_the_model_is_compiled_as_the_program_was(tmp_path, capsys):
    """A program without legalizations has fewer layers than one with them."""
    main(["convert", "-m", str(MNIST), "-o", str(tmp_path / "x.fbz"), "--no-legalize"])
    capsys.readouterr()
    assert report([MNIST, tmp_path / "x.fbz", "-i", SAMPLES, "--count", "2"], capsys)[0] == 0


def test_a_program_can_stand_for_the_model(mnist, capsys):
    code, data = report([mnist, mnist, "-i", SAMPLES, "--count", "2"], capsys)
    assert (code, [level["name"] for level in data["levels"]]) == (0, ["compiled", "program"])


def test_levels_without_common_values_are_not_equal():
    module, _ = compile_model(MNIST)
    other = module.clone()
    for op in other.body:
        for value in op.results:
            value.name = f"{value.name}_x" if value.name else None
        op.annotations.pop("layer", None)
        op.loc = type(op.loc)() if not op.results else op.loc
    x = np.zeros((1, 28, 28, 1), np.float32)
    result = compare_levels([reference_level("a", module), reference_level("b", other)], x)
    assert not result.equal
    assert not result.compared


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """A model over time, its program, and ten steps of four streams."""
    folder = tmp_path_factory.mktemp("streams")
    write_program(streaming_program(), folder / "x.fbz")
    np.savez(folder / "x.npz", x=FRAMES)
    return [write_signed(folder / "x.h5"), folder / "x.fbz", "-i", folder / "x.npz"]


def test_streams_are_equal_step_by_step(stream, capsys):
    code, data = report(stream, capsys)
    assert (code, data["equal"], data["samples"], data["steps"]) == (0, True, FRAMES.shape[1], len(FRAMES))
    assert data["compared"] == data["layers"] >= 5
    assert {v["name"]: v["fused_into"] for v in data["values"] if v["fused_into"]}["btc"] == "r1"
    assert main(["compare", *map(str, stream), "--count", "3"]) == 0
    total = data["layers"]
    assert capsys.readouterr().out.startswith(f"{total}/{total} layers compared")


def test_streams_go_through_in_chunks(stream, monkeypatch, capsys):
    whole = report(stream, capsys)
    monkeypatch.setattr(comparison, "CHUNK_BYTES", 1)
    assert report(stream, capsys) == whole


def test_the_first_step_that_differs(stream, tmp_path, capsys):
    """Weights of the oldest of four frames matter in step 3 and no earlier: the memory begins with zeros."""
    program = streaming_program()
    op = next(op for op in program.body if op.op_name == "akida2.buffer_temp_conv")
    weights = op.weights.array.copy()
    weights[:, :, : weights.shape[2] // 4] *= -1
    op.weights = Tensor.of(weights, op.weights.type.element, op.weights.name)
    write_program(program, tmp_path / "x.fbz")
    code, data = report([stream[0], tmp_path / "x.fbz", *stream[2:]], capsys)
    different = next(v for v in data["values"] if v["name"] == data["first_difference"])
    first = different["differences"][0]["first"]
    assert (code, first["step"]) == (1, 3)
    assert main(["compare", str(stream[0]), str(tmp_path / "x.fbz"), *map(str, stream[2:])]) == 1
    place = f"first difference: {different['name']} at {first['index']} of stream {first['sample']} in step 3: "
    assert place in capsys.readouterr().out


@pytest.mark.parametrize("command", ["compare", "run"])
def test_plain_samples_for_a_model_that_remembers(command, stream, tmp_path, capsys):
    np.save(tmp_path / "plain.npy", FRAMES[:, 0])
    files = stream[:2] if command == "compare" else stream[1:2]
    assert main([command, *map(str, files), "-i", str(tmp_path / "plain.npy")]) == 1
    err = capsys.readouterr().err
    assert "SAMPLES-STREAMS" in err
    assert "(steps, streams, " in err
    assert "x[:, None]" in err


def test_bad_arguments(mnist, tmp_path, capsys):
    np.save(tmp_path / "none.npy", np.zeros((0, 28, 28, 1), np.float32))
    np.save(tmp_path / "small.npy", np.zeros((2, 3, 3, 1), np.float32))
    cases = [(mnist, "none.npy", "COMPARE-NOTHING"), (mnist, "small.npy", "RUN-INPUT-SHAPE"), (MNIST, "x", "FBZ-MAGIC")]
    for program, samples, code in cases:
        assert main(["compare", str(MNIST), str(program), "-i", str(tmp_path / samples)]) == 1
        assert code in capsys.readouterr().err
    assert main(["compare", str(MNIST), str(mnist)]) == 2


def test_buckets():
    steps = [-1, 1, 2, 3, 4, 5, 8, 9, -100]
    assert [bucket(s) for s in steps] == ["-1", "+1", "+2", "+3..4", "+3..4", "+5..8", "+5..8", "+9..16", "-65..128"]


def test_merged_order():
    assert merged([["a", "b", "c"], ["a", "x", "c", "y"]]) == ["a", "x", "b", "c", "y"]
