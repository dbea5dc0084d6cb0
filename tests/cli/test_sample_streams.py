"""Data sets that `cnn2snn run` reads a block after the other: arrays, archives, folders of images."""

import os
import resource
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from generators.recorded import EXAMPLES
from generators.streams import FRAMES, streaming_program
from PIL import Image

from benchmarks.nets import NETS
from cnn2snn_ir.backends.program import write_program
from cnn2snn_ir.runtime.model import Model
from cnn2snn_ir.tools import sample_streams
from cnn2snn_ir.tools.cnn2snn import main

DIGITS = np.load(EXAMPLES / "mnist_1000.npz")
X, Y = DIGITS["x"][:50], DIGITS["y"][:50]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "mnist.fbz"
    assert main(["convert", "-m", str(EXAMPLES / "mnist_v2_i8_w8_a8.h5"), "-o", str(path)]) == 0
    return path


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Seven digits a block, so that 50 are seven blocks and one digit."""
    monkeypatch.setattr(sample_streams, "BLOCK_BYTES", 7 * 28 * 28)


def result(program, inputs, tmp_path):
    assert main(["run", str(program), "-i", str(inputs), "-o", str(tmp_path / "out.npy")]) == 0
    return np.load(tmp_path / "out.npy")


def write_archive(path, compression, **arrays):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)


def write_images(folder, images, suffix=".png"):
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image.reshape(28, 28)).save(folder / f"{number:04}{suffix}")


@pytest.mark.parametrize("order", [np.ascontiguousarray, np.asfortranarray])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, ">i4", np.float32])
def test_blocks_of_an_array(program, tmp_path, order, dtype):
    np.save(tmp_path / "x.npy", order(X).astype(dtype))
    assert np.array_equal(result(program, tmp_path / "x.npy", tmp_path), Model(program).predict(X))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("names", ["xy", "yx"])
def test_blocks_of_an_archive_with_labels(program, tmp_path, capsys, compression, names):
    write_archive(tmp_path / "x.npz", compression, **{name: {"x": X, "y": Y}[name] for name in names})
    assert np.array_equal(result(program, tmp_path / "x.npz", tmp_path), Model(program).predict(X))
    hits = int((Model(program).predict(X).reshape(50, -1).argmax(axis=1) == Y).sum())
    assert f"accuracy {hits / 50:.4f} ({hits} of 50)" in capsys.readouterr().out


def test_the_only_array_of_an_archive(program, tmp_path):
    np.savez(tmp_path / "x.npz", digits=X)
    assert len(result(program, tmp_path / "x.npz", tmp_path)) == 50


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_no_samples(program, tmp_path, capsys, suffix):
    path = tmp_path / f"x{suffix}"
    np.save(path, X[:0]) if suffix == ".npy" else np.savez(path, x=X[:0], y=Y[:0])
    assert result(program, path, tmp_path).shape == (0, 10)
    assert "0 samples" in capsys.readouterr().out


def test_streams_go_on_from_block_to_block(tmp_path, monkeypatch):
    write_program(streaming_program(), tmp_path / "stream.fbz")
    np.save(tmp_path / "x.npy", FRAMES)
    monkeypatch.setattr(sample_streams, "BLOCK_BYTES", FRAMES[0].nbytes)
    model = Model(tmp_path / "stream.fbz")
    expected = np.stack([model.predict(step) for step in FRAMES])
    assert np.array_equal(result(tmp_path / "stream.fbz", tmp_path / "x.npy", tmp_path), expected)


@pytest.mark.parametrize("suffix", [".png", ".BMP", ".pgm"])
def test_a_folder_of_images(program, tmp_path, suffix):
    write_images(tmp_path / "images", X, suffix)
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    assert np.array_equal(result(program, tmp_path / "images", tmp_path), Model(program).predict(X))


def test_a_folder_for_each_class(program, tmp_path, capsys):
    for digit in range(10):
        write_images(tmp_path / "images" / str(digit), X[digit == Y])
    assert main(["run", str(program), "-i", str(tmp_path / "images")]) == 0
    accuracy = Model(program).evaluate(X, Y)
    assert f"accuracy {accuracy:.4f} ({round(50 * accuracy)} of 50)" in capsys.readouterr().out


def test_colours_become_what_the_model_takes(program, tmp_path):
    images = np.repeat(X, 3, axis=-1)
    (tmp_path / "images").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "images" / f"{number:04}.png")
    assert np.array_equal(result(program, tmp_path / "images", tmp_path), Model(program).predict(X))


def spoilt(folder, name):
    """A folder, or a file in its place, that cannot be run, and what is said of it."""
    if name == "no images":
        folder.mkdir()
        return "SAMPLES-FORMAT", "no images"
    write_images(folder, X[:9])
    if name == "another size":
        Image.new("L", (30, 20)).save(folder / "0005.png")
        return "SAMPLES-IMAGES", "found: 20x30"
    if name == "no image":
        (folder / "0005.png").write_bytes(b"no image")
        return "SAMPLES-FORMAT", "0005.png"
    assert name == "cut off"
    data = (folder / "0005.png").read_bytes()
    (folder / "0005.png").write_bytes(data[: len(data) // 2])
    return "SAMPLES-FORMAT", "0005.png"


@pytest.mark.parametrize("name", ["no images", "another size", "no image", "cut off"])
def test_bad_folders(program, tmp_path, capsys, name):
    code, text = spoilt(tmp_path / "images", name)
    assert main(["run", str(program), "-i", str(tmp_path / "images"), "-o", str(tmp_path / "out.npy")]) == 1
    err = capsys.readouterr().err
    assert code in err, err
    assert text in err, err
    assert not (tmp_path / "out.npy").exists()


def test_images_without_pillow(program, tmp_path, capsys, monkeypatch):
    write_images(tmp_path / "images", X[:1])
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert main(["run", str(program), "-i", str(tmp_path / "images")]) == 1
    assert "pip install 'cnn2snn-ir[images]'" in capsys.readouterr().err


def test_images_for_a_model_that_remembers(tmp_path, capsys):
    write_program(streaming_program(), tmp_path / "stream.fbz")
    write_images(tmp_path / "images", X[:1])
    assert main(["run", str(tmp_path / "stream.fbz"), "-i", str(tmp_path / "images")]) == 1
    assert "SAMPLES-STREAMS" in capsys.readouterr().err


@pytest.mark.parametrize("at", [0.3, 0.9])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_in_a_later_block(program, tmp_path, capsys, at, compression):
    write_archive(tmp_path / "x.npz", compression, x=X)
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[int(len(data) * at)] ^= 0xFF
    (tmp_path / "x.npz").write_bytes(data)
    assert main(["run", str(program), "-i", str(tmp_path / "x.npz"), "-o", str(tmp_path / "out.npy")]) == 1
    assert "SAMPLES-FORMAT" in capsys.readouterr().err
    assert not (tmp_path / "out.npy").exists()


def test_a_memory_map_is_evaluated_in_blocks(program, tmp_path, monkeypatch):
    from cnn2snn_ir.runtime import model as module

    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    whole = Model(program).evaluate(X, Y)
    monkeypatch.setattr(module, "EVALUATED_BYTES", 7 * 28 * 28)
    assert Model(program).evaluate(mapped, Y) == whole
    assert Model(program).evaluate(mapped[:0], Y[:0]) == 0.0


@pytest.mark.parametrize(
    ("order", "shape", "text"),
    [("True", (1 << 20, 28, 28, 1), "np.ascontiguousarray"), ("False", (1, 1 << 30), "one row")],
)
def test_what_must_be_read_at_once_is_bounded(program, tmp_path, capsys, order, shape, text):
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": order == "True", "shape": shape})
        file.truncate(file.tell() + int(np.prod(shape)))
    assert main(["run", str(program), "-i", str(tmp_path / "x.npy")]) == 1
    err = capsys.readouterr().err
    assert "SAMPLES-FORMAT" in err
    assert text in err


SHAPE = (128, 128, 3)
COUNT = -(-(1 << 30) // int(np.prod(SHAPE)))
"""Images that are a gigabyte."""

MOST = 400 << 20
"""Bytes of data that a process may ask for: the libraries, the compiled kernels, their working memory, and blocks."""

EVALUATE = """
import sys
import numpy as np
from cnn2snn_ir.runtime.model import Model
x = np.load(sys.argv[2], mmap_mode="r")
print(f"{len(x)} samples", Model(sys.argv[1]).evaluate(x, np.zeros(len(x), int)))
"""


def limited():
    """Have the process die if it asks for more; what it maps of files, read-only, does not count."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST, MOST))


def write_large(path):
    """A gigabyte of black images, which takes little of the disk."""
    if path.suffix == ".npy":
        np.lib.format.open_memmap(path, "w+", np.uint8, (COUNT, *SHAPE))
    elif path.suffix == ".npz":
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open("x.npy", "w", force_zip64=True) as member,
        ):
            header = {"descr": "|u1", "fortran_order": False, "shape": (COUNT, *SHAPE)}
            np.lib.format.write_array_header_1_0(member, header)
            for _ in range(COUNT):
                member.write(bytes(int(np.prod(SHAPE))))
    else:
        path.mkdir()
        Image.new("RGB", SHAPE[:2]).save(path / "0.png")
        for number in range(1, COUNT):
            os.link(path / "0.png", path / f"{number}.png")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x.npy", "x.npz", "images", "memory map"])
def test_a_gigabyte_in_bounded_memory(tmp_path, name):
    write_program(NETS["mobilenet_128"](), tmp_path / "net.fbz")
    mapped = name == "memory map"
    data = tmp_path / ("x.npy" if mapped else name)
    write_large(data)
    command = ["-c", EVALUATE] if mapped else ["-m", "cnn2snn_ir.tools.cnn2snn", "run"]
    files = [tmp_path / "net.fbz", data] if mapped else [tmp_path / "net.fbz", "-i", data]
    run = subprocess.run([sys.executable, *command, *files], capture_output=True, text=True, preexec_fn=limited)
    assert run.returncode == 0, run.stderr
    assert f"{COUNT} samples" in run.stdout
