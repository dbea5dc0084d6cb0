"""Files from strangers: nothing in them is run, followed out of the file, or believed before it is checked."""

import io
import json
import pickle
import struct
import time
import tracemalloc
import zipfile
import zlib
from contextlib import contextmanager

import h5py
import numpy as np
import onnx
import pytest
from generators import legacy
from generators.quantizeml_onnx import save, small
from generators.recorded import FIXTURES

from cnn2snn_ir.backends.program import dumps, loads
from cnn2snn_ir.backends.program.container import MAGIC, VERSION, wrap
from cnn2snn_ir.device import load_device
from cnn2snn_ir.diagnostics import CompileError, Diagnostic
from cnn2snn_ir.frontends import load_float_model, load_model
from cnn2snn_ir.passes.pipeline import parse_pipeline
from cnn2snn_ir.text import parse_module, read_weights
from cnn2snn_ir.tools.cnn2snn import main
from cnn2snn_ir.tools.samples import read_batch
from fuzz.contract import judge

MIB = 1 << 20
GOOD = FIXTURES / "layers" / "mlp_i8.h5"
ARCHIVE = FIXTURES / "float_layers" / "line.keras"


@contextmanager
def bounded(mebibytes=64, seconds=5.0):
    """The block neither takes long nor allocates much."""
    start = time.perf_counter()
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * MIB
    assert time.perf_counter() - start < seconds


def code_of(read, *arguments):
    with pytest.raises(CompileError) as caught, bounded():
        read(*arguments)
    assert len(caught.value.render()) < MIB
    caught.value.render().encode()
    return caught.value.diagnostics[0].code


# ---- nothing is run -------------------------------------------------------------------------------------------------


class Payload:
    """An object that, unpickled, writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def npy_with_objects(payload):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([payload], object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize("container", ["npy", "npz", "weights", "trailer"])
def test_pickled_objects_are_not_loaded(tmp_path, container):
    trace = tmp_path / "trace"
    data = npy_with_objects(Payload(trace))
    assert b"trace" in data
    path = tmp_path / "x.npz"
    if container == "trailer":
        import base64

        digest = "0123456789abcdef"
        text = f"module @m {{a = #w<w, si8[1], sha256:{digest}>}} {{}}\n"
        text += f'#blob<sha256:{digest}, "{base64.b64encode(data).decode()}">\n'
        assert code_of(parse_module, text) == "IR-WEIGHTS-HASH"
    elif container == "npy":
        path.write_bytes(data)
        assert code_of(read_batch, path) == "SAMPLES-FORMAT"
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", data)
        read, code = (read_batch, "SAMPLES-FORMAT") if container == "npz" else (read_weights, "IR-WEIGHTS-FILE")
        assert code_of(read, path) == code
    assert not trace.exists()


def test_a_pickle_by_itself_is_not_loaded(tmp_path):
    (tmp_path / "x.npz").write_bytes(pickle.dumps(Payload(tmp_path / "trace")))
    assert code_of(read_batch, tmp_path / "x.npz") == "SAMPLES-FORMAT"
    assert not (tmp_path / "trace").exists()


def test_a_lambda_is_not_run(tmp_path):
    path = FIXTURES / "bad" / "lambda.h5"
    assert code_of(load_model, path) in ("KERAS-LAYER", "KERAS-FLOAT-LAYER")


# ---- HDF5 -----------------------------------------------------------------------------------------------------------


def variable_of(file):
    places = []
    file["model_weights"].visititems(lambda name, node: places.append(name) if isinstance(node, h5py.Dataset) else None)
    return f"/model_weights/{places[0]}"


def virtual(file, place, shape):
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource("elsewhere.h5", "x", shape)
    file.create_virtual_dataset(place, layout)


def linked(link):
    def change(file, place, shape):
        file[place] = link

    return change


def stored(*arguments, **options):
    def change(file, place, shape):
        file.create_dataset(place, *(arguments or (shape,)), dtype="f4", **options)

    return change


HDF5 = {
    "external link": (linked(h5py.ExternalLink("/etc/passwd", "/x")), "KERAS-LINK"),
    "link to itself": (linked(h5py.SoftLink("/model_weights/loop")), "KERAS-LINK"),
    "virtual": (virtual, "KERAS-LINK"),
    "external storage": (stored(external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]), "KERAS-LINK"),
    "huge, never written": (stored((1 << 20, 1 << 20), chunks=(1 << 10, 1 << 10)), "KERAS-VARIABLE"),
    "huge fill value": (stored((1 << 28,), chunks=(1 << 10,), fillvalue=1.0), "KERAS-VARIABLE"),
    "never written": (stored(), "KERAS-VARIABLE"),
    "gzip": (stored((1 << 22,), data=np.zeros(1 << 22), compression="gzip"), "KERAS-FILTER"),
    "lzf": (stored((4,), data=np.zeros(4), chunks=(4,), compression="lzf"), "KERAS-FILTER"),
    "strings": (lambda file, place, shape: file.create_dataset(place, data=[b"a"]), "KERAS-VARIABLE"),
    "group": (lambda file, place, shape: file.create_group(place), "KERAS-LINK"),
    "no elements": (lambda file, place, shape: file.create_dataset(place, data=h5py.Empty("f4")), "KERAS-VARIABLE"),
    "not a number": (lambda file, place, shape: file.create_dataset(place, data=np.full(shape, np.nan)), "KERAS-NAN"),
    "too large": (lambda file, place, shape: file.create_dataset(place, data=np.full(shape, 1e300)), "KERAS-NAN"),
}


@pytest.mark.parametrize("name", HDF5)
def test_variables_that_are_not_in_the_file(tmp_path, name):
    change, code = HDF5[name]
    path = tmp_path / "m.h5"
    path.write_bytes(GOOD.read_bytes())
    with h5py.File(path, "r+") as file:
        file["/model_weights/loop"] = h5py.SoftLink("/model_weights/loop")
        place = variable_of(file)
        shape = file[place].shape
        del file[place]
        change(file, place, shape)
    assert code_of(load_model, path) == code


def test_a_small_file_does_not_unfold(tmp_path):
    """One variable under a thousand names."""
    path = tmp_path / "m.h5"
    path.write_bytes(GOOD.read_bytes())
    with h5py.File(path, "r+") as file:
        place = variable_of(file)
        layer = file[f"/model_weights/{place.split('/')[2]}"]
        layer["big"] = np.zeros(1 << 18, np.float32)
        names = [f"n{i}" for i in range(1000)]
        for name in names:
            layer[name] = layer["big"]
        layer.attrs["weight_names"] = names
    assert code_of(load_model, path) == "KERAS-VARIABLE"


def with_config(tmp_path, config):
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = ["x"]
        group.create_group("x").attrs["weight_names"] = np.array([], "S1")
        file.attrs.create("model_config", config, dtype=h5py.string_dtype())
    return path


@pytest.mark.parametrize(
    "config",
    ["[" * 100_000, "[" * 900 + "]" * 900, '{"config": ' + "9" * 1_000_000 + "}", "9" * 1_000_000, "NaN", '"x"', "{}"],
    ids=["deep", "deep and whole", "number of a million digits", "number alone", "NaN", "text", "nothing"],
)
def test_configurations(tmp_path, config):
    assert code_of(load_model, with_config(tmp_path, config)) == "FILE-DAMAGED"


NAMES = {
    "NUL": "a\0b",
    "newline": "a\nerror: FORGED",
    "surrogate": "\ud800",
    "long": "x" * MIB,
    "terminal": "\x1b[2J",
    "text": "a/../b",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_layers(tmp_path, name):
    line = legacy.vector_mlp()
    path = legacy.write_h5(line, tmp_path / "m.h5")
    with h5py.File(path, "r") as file:
        config = json.loads(file.attrs["model_config"])
    config["config"]["layers"][1]["config"]["name"] = NAMES[name]
    config["config"]["layers"][1]["class_name"] = NAMES[name]
    assert code_of(load_model, with_config(tmp_path, json.dumps(config))) in (
        "KERAS-LAYER",
        "KERAS-FLOAT",
        "KERAS-CONFIG",
    )


# ---- zip files ------------------------------------------------------------------------------------------------------


def zipped(path, name, data, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, data)
    return path


def npy(shape, data, dtype="|u1"):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data


def test_a_bomb_of_samples(tmp_path, monkeypatch):
    monkeypatch.setattr("cnn2snn_ir.zip_files.MAX_UNPACKED", 32 * MIB)
    path = zipped(tmp_path / "x.npz", "x.npy", npy(f"({48 * MIB},)", bytes(48 * MIB)))
    assert path.stat().st_size < MIB
    assert code_of(read_batch, path) == "SAMPLES-FORMAT"


def test_a_bomb_of_another_packing(tmp_path):
    path = zipped(tmp_path / "x.npz", "x.npy", npy(f"({64 * MIB},)", bytes(64 * MIB)), zipfile.ZIP_BZIP2)
    assert path.stat().st_size < 1000
    assert code_of(read_batch, path) == "SAMPLES-FORMAT"


def test_a_member_that_declares_more_than_it_can_hold(tmp_path):
    path = zipped(tmp_path / "x.npz", "x.npy", npy("(4,)", bytes(4)))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<I", 1 << 30)
    path.write_bytes(data)
    assert code_of(read_batch, path) == "SAMPLES-FORMAT"


def test_members_that_overlap(tmp_path):
    """A directory that names one member a thousand times."""
    path = zipped(tmp_path / "x.npz", "x000.npy", npy(f"({MIB},)", bytes(MIB)))
    data = path.read_bytes()
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entries = b"".join(data[start:end].replace(b"x000", f"x{i:03}".encode()) for i in range(1000))
    tail = data[end : end + 8] + struct.pack("<HHII", 1000, 1000, len(entries), start) + b"\0\0"
    path.write_bytes(data[:start] + entries + tail)
    assert code_of(read_batch, path) == "SAMPLES-FORMAT"


SHAPES = (
    "(99999999999,)",
    "(9223372036854775807, 2)",
    "(0, 9223372036854775807)",
    "(" + "1, " * 70 + ")",
    "(-1,)",
    "(" + "1" * 5000 + ",)",
)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_samples(tmp_path, shape):
    (tmp_path / "x.npy").write_bytes(npy(shape, bytes(4)))
    assert code_of(read_batch, tmp_path / "x.npy") == "SAMPLES-FORMAT"


@pytest.mark.parametrize(
    "header", ["{" * 30000, "1" * 60000, "('" * 20000, "{'descr': " + "(" * 300, "__import__('os')"]
)
def test_headers_of_samples_are_not_evaluated(tmp_path, header):
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode())
    assert code_of(read_batch, tmp_path / "x.npy") == "SAMPLES-FORMAT"


def test_arrays_that_numpy_writes_are_read(tmp_path):
    """What is refused is only what is hostile: every type of number, order and version."""
    arrays = {
        f"{dtype}{order}{shape}": np.asarray(np.arange(int(np.prod(shape))).reshape(shape).astype(dtype), order=order)
        for dtype in ("?", "u1", "i2", ">i4", "<u8", "f2", ">f4", "f8")
        for order in "CF"
        for shape in ((), (3,), (2, 3), (0, 4), (2, 1, 3))
    }
    for name, save_arrays in (("a.npz", np.savez), ("b.npz", np.savez_compressed)):
        save_arrays(tmp_path / name, **arrays)
        for key, array in read_weights(tmp_path / name).items():
            assert array.dtype == arrays[key].dtype.newbyteorder("=")
            np.testing.assert_array_equal(array, arrays[key])
    for version in ((1, 0), (2, 0), (3, 0)):
        with open(tmp_path / "x.npy", "wb") as file:
            np.lib.format.write_array(file, np.arange(6.0).reshape(2, 3).T, version)
        np.testing.assert_array_equal(read_batch(tmp_path / "x.npy"), np.arange(6.0).reshape(2, 3).T)


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_a_bomb_in_an_archive(tmp_path, monkeypatch, member):
    monkeypatch.setattr("cnn2snn_ir.zip_files.MAX_UNPACKED", 32 * MIB)
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(ARCHIVE) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in archive.namelist():
            bomb.writestr(name, archive.read(name) + (b" " * 48 * MIB if name == member else b""))
    assert path.stat().st_size < MIB
    assert code_of(load_float_model, path) == "FILE-DAMAGED"


def test_a_bomb_of_a_program():
    header = struct.pack("<8sIQ32s", MAGIC, VERSION, 1 << 29, bytes(32))
    assert code_of(loads, header + zlib.compress(bytes(MIB))) == "FBZ-SIZE"


# ---- ONNX -----------------------------------------------------------------------------------------------------------


def external(model, **entries):
    tensor = next(t for t in model.graph.initializer if t.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


LOCATIONS = (
    "../secret",
    "/etc/passwd",
    "sub/../../secret",
    "link",
    "folder/secret",
    "C:secret",
    "..\\secret",
    "",
    "a\0b",
    "none",
    ".",
)


@pytest.mark.parametrize("location", LOCATIONS)
def test_external_data_stay_in_the_folder(tmp_path, location):
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret").write_bytes(bytes(4096))
    (home / "link").symlink_to(tmp_path / "secret")
    (home / "folder").symlink_to(tmp_path)
    model = small()
    external(model, location=location)
    assert code_of(load_model, save(model, home)) == "ONNX-EXTERNAL"


RANGES = (
    ("-1", ""),
    ("4096", ""),
    ("99999999999999999999", ""),
    ("9" * 5000, ""),
    ("x", ""),
    ("0", "-1"),
    ("0", "9" * 30),
)


@pytest.mark.parametrize(("offset", "length"), RANGES)
def test_external_data_stay_in_their_file(tmp_path, offset, length):
    model = small()
    external(model, location="data", offset=offset, **({"length": length} if length else {}))
    (tmp_path / "data").write_bytes(bytes(4096))
    assert code_of(load_model, save(model, tmp_path)) in ("ONNX-EXTERNAL", "ONNX-TENSOR")


@pytest.mark.parametrize("dims", [(1 << 40,), (1 << 62, 4), (-1, -1), (1,) * 70, (0, 1 << 62)])
def test_shapes_of_constants(tmp_path, dims):
    model = small()
    tensor = next(t for t in model.graph.initializer if t.raw_data)
    del tensor.dims[:]
    tensor.dims.extend(dims)
    with pytest.raises(CompileError), bounded():
        load_model(save(model, tmp_path))


@pytest.mark.parametrize("depth", [10, 60, 5000])
def test_graphs_in_graphs(tmp_path, depth):
    """Protobuf counts the levels itself; deeper ones have to be written by hand, from the inside out."""

    def field(number, data):
        size, key = b"", len(data)
        while key > 127:
            size, key = size + bytes((key & 127 | 128,)), key >> 7
        return bytes((number << 3 | 2,)) + size + bytes((key,)) + data

    graph = b""
    for _ in range(depth):
        graph = field(1, field(2, b"y") + field(4, b"If") + field(5, field(1, b"b") + field(6, graph)))
    model = onnx.ModelProto(ir_version=10, opset_import=[onnx.helper.make_opsetid("", 21)]).SerializeToString()
    path = tmp_path / "m.onnx"
    path.write_bytes(model + field(7, graph))
    with pytest.raises(CompileError), bounded():
        load_model(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.0, 0.0, -1.0, 1e-45])
def test_scales_of_quantizers(tmp_path, value):
    """Each is read or refused; none becomes an infinity or a NaN on the way."""
    model = onnx.load(FIXTURES / "onnx_standard" / "qdq_u8.onnx")
    for index, tensor in enumerate(t for t in model.graph.initializer if "scale" in t.name):
        if index == 0:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(tuple(tensor.dims), value, np.float32), tensor.name))
    path = save(model, tmp_path)

    class Once:
        name, suffix = "onnx", ".onnx"

        def read(self, file):
            load_model(file)

    outcome = judge(Once(), path)
    assert not outcome.is_finding, outcome.details
    if not (value > 0 and np.isfinite(value)):
        assert outcome.result != "ok"


# ---- texts ----------------------------------------------------------------------------------------------------------


TEXTS = {
    "blocks": ('module @m { %a = qnn.block {kind = add, layer = "x"} { ' * 1000, "PARSE-DEPTH"),
    "lists": (f"module @m {{a = {'[' * 100_000}{']' * 100_000}}} {{}}", "PARSE-DEPTH"),
    "integer of a million digits": (f"module @m {{a = {'9' * 1_000_000}}} {{}}", "PARSE-NUMBER"),
    "long name": (f"module @m {{ %{'x' * MIB} = builtin.inputs }}", "PARSE-UNKNOWN-OP"),
    "NUL": ("module @m {\0}", "PARSE-SYNTAX"),
    "huge constant": ("module @m {a = #w<x, f32[99999999, 99999999], 1.0>} {}", "PARSE-TENSOR"),
    "constant of many zeros": ("module @m {a = #w<x, f32[0, 99999999999999999999], 1.0>} {}", "PARSE-TENSOR"),
    "element of a million bits": (f"module @m {{a = #w<x, si{'9' * 1_000_000}[1], 1>}} {{}}", "PARSE-TENSOR"),
    "size of a million digits": (f"module @m {{a = #w<x, si8[{'9' * 1_000_000}], 1>}} {{}}", "PARSE-TENSOR"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name):
    text, code = TEXTS[name]
    assert code_of(parse_module, text) == code


@pytest.mark.parametrize(
    "text", ["qnn.block(" * 10_000, "fuse-blocks{layers=[" + "a, " * 10 + "[" * 5000, "[" * 100_000]
)
def test_pipelines(text):
    assert code_of(parse_pipeline, text) in ("PIPELINE-DEPTH", "PIPELINE-SYNTAX")


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 100_000, "a = " + "9" * MIB, "a" + ".a" * 5000 + " = 1", "extends = '../x'"]
)
def test_devices(tmp_path, text):
    (tmp_path / "x.toml").write_text(text)
    assert code_of(load_device, str(tmp_path / "x.toml")).startswith("DEVICE")


def test_what_is_shown_of_a_name():
    """No control characters, no lone surrogates, not a megabyte."""
    text = Diagnostic("X", "a\x1b[2J\ud800b", where="w" * MIB, found="é\0").render()
    assert text.startswith("error: X  www")
    assert "a\\x1b[2J\\ud800b" in text
    assert "é\\x00" in text
    assert len(text) < 3000


# ---- the commands ---------------------------------------------------------------------------------------------------


COMMANDS = {
    "h5": ("convert", "-m", "{path}", "-o", "{out}"),
    "onnx": ("convert", "-m", "{path}", "-o", "{out}"),
    "fbz": ("summary", "{path}"),
    "samples": ("run", "{program}", "-i", "{path}"),
    "device": ("map", "{program}", "--device", "{path}"),
}


@pytest.mark.parametrize("reader", COMMANDS)
def test_commands_end_with_a_diagnostic(tmp_path, capsys, reader):
    files = [p for p in sorted((FIXTURES / "hostile" / reader).iterdir()) if not p.name.startswith(("ok.", "RUN-"))]
    program = tmp_path / "program.fbz"
    program.write_bytes(dumps(load_model(GOOD)))
    assert files
    for path in files:
        names = {"path": path, "out": tmp_path / "out.fbz", "program": program}
        assert main([word.format(**names) for word in COMMANDS[reader]]) != 0
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        codes = {path.name.partition(".")[0]} | ({"RUN-INPUT-SHAPE"} if reader == "samples" else set())
        assert any(code in said.err for code in codes), path  # `run` does not look at arrays that it does not need
    assert not (tmp_path / "out.fbz").exists()


def test_a_wrapped_text_is_no_program():
    assert code_of(loads, wrap(b"module @m {}")) == "FBZ-IDENTIFIER"


# ---- many faults, many names ----------------------------------------------------------------------------------------


def test_thousands_of_misspelled_values():
    lines = "".join(f"%a{i} = qnn.relu %undefined{i} : tensor<?x1xsi8>\n" for i in range(2000))
    start = time.perf_counter()
    with pytest.raises(CompileError) as caught:
        parse_module(f"module @m {{\n{lines}}}\n")
    assert time.perf_counter() - start < 5
    assert len(caught.value.diagnostics) == 2000
    assert "and 1800 more" in caught.value.render()


def test_a_key_of_many_parts(tmp_path):
    (tmp_path / "x.toml").write_text("a" + ".a" * 200_000 + " = 1\n")
    assert code_of(load_device, str(tmp_path / "x.toml")) == "DEVICE-TOML"
