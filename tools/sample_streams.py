"""Reads samples a block after the other, so that a data set may be larger than the memory.

A `.npy` and the `x` of a `.npz` are read from front to back; of a folder, the images, in the order of their names.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn2snn_ir.array_files import ArrayStream, read_array
from cnn2snn_ir.diagnostics import CompileError, fail
from cnn2snn_ir.tools.samples import Array, damaged, labelled, missing
from cnn2snn_ir.zip_files import MAX_UNPACKED, DamagedFileError, opened_zip

if TYPE_CHECKING:
    from cnn2snn_ir.dialects.builtin import Module

BLOCK_BYTES = 32 << 20
"""Of the samples that are in memory together, as their file has them."""

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""What an image's name ends with, in small letters or large."""

MAX_PIXELS = 1 << 26
"""Of an image as its file declares it, which is unpacked before its size is compared with the model's."""


@dataclass
class SampleStream:
    """Samples in blocks of some rows each, and all labels, which are small."""

    shape: tuple[int, ...]
    blocks: Iterator[Array]
    labels: Array | None = None


@contextmanager
def opened_samples(path: Path, module: Module) -> Iterator[SampleStream]:
    """The samples of a file or of a folder of images; raises `CompileError` if there are none.

    In a folder, every folder is a class, and its number in the order of their names is the label of its images.
    """
    if path.is_dir():
        yield _images(path, module)
        return
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(2)
            file.seek(0)
            if start != b"PK":
                stream = ArrayStream(file, size)
                yield SampleStream(stream.shape, _blocks(path, stream))
                return
            with opened_zip(file, size, most=math.inf) as archive:
                names = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
                entry = names.get("x") or (next(iter(names.values())) if len(names) == 1 else None)
                if entry is None:
                    raise damaged(path, f"arrays {', '.join(names) or 'none'}")
                labels = None
                if "y" in names:
                    if names["y"].file_size > MAX_UNPACKED:
                        raise damaged(path, f"labels of {names['y'].file_size} bytes")
                    with archive.open(names["y"]) as member:
                        labels = read_array(member, names["y"].file_size)
                with archive.open(entry) as member:
                    stream = ArrayStream(member, entry.file_size)
                    labels = labelled(path, stream.shape, labels, module)
                    yield SampleStream(stream.shape, _blocks(path, stream), labels)
    except FileNotFoundError:
        raise missing(path) from None
    except (OSError, DamagedFileError) as error:
        raise damaged(path, str(error)) from None


def _blocks(path: Path, stream: ArrayStream) -> Iterator[Array]:
    """The blocks of a stream; damage found on the way is the file's."""
    try:
        yield from stream.blocks(BLOCK_BYTES)
    except (OSError, DamagedFileError) as error:
        raise damaged(path, str(error)) from None


def _images(folder: Path, module: Module) -> SampleStream:
    """The images of a folder, or of the folders in it."""
    if module.states:
        raise fail("SAMPLES-STREAMS", "the model remembers, and a folder does not say which image follows which")
    classes = sorted((entry for entry in folder.iterdir() if entry.is_dir()), key=lambda entry: entry.name)
    groups = [_named(entry) for entry in classes or [folder]]
    files = [file for group in groups for file in group]
    if not files:
        raise damaged(folder, "no images")
    labels = np.repeat(np.arange(len(groups)), [len(group) for group in groups]) if classes else None
    shape = module.inputs[0].shape
    return SampleStream((len(files), *shape), _image_blocks(files, shape), labels)


def _named(folder: Path) -> list[Path]:
    """The images of a folder by name."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGES)


def _image_blocks(files: list[Path], shape: tuple[int, ...]) -> Iterator[Array]:
    """Images as bytes [rows, height, width, channels]."""
    rows = max(1, BLOCK_BYTES // max(1, int(np.prod(shape))))
    for start in range(0, len(files), rows):
        yield np.stack([_image(file, shape) for file in files[start : start + rows]])


def _image(path: Path, shape: tuple[int, ...]) -> Array:
    """One image, gray or in colours as the model takes it; it must have the model's size."""
    try:
        from PIL import Image
    except ImportError as error:
        message, need = "images need the package pillow", "pip install 'cnn2snn-ir[images]'"
        raise fail("SAMPLES-IMAGES", message, where=str(path), help=need) from error
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(shape[-1] if len(shape) == 3 else 0)
    if mode is None:
        raise _unfit(path, "an image", f"samples of shape {shape}")
    try:
        with Image.open(path) as image:
            width, height = image.size
            if (height, width) != tuple(shape[:2]) or width * height > MAX_PIXELS:
                raise _unfit(path, f"{height}x{width}", f"{shape[0]}x{shape[1]}")
            pixels: Any = np.asarray(image.convert(mode), np.uint8)
    except CompileError:
        raise
    except Exception as error:  # a decoder fails with anything, from OSError to struct.error
        raise damaged(path, f"{type(error).__name__}: {error}") from None
    return np.asarray(pixels.reshape(shape))


def _unfit(path: Path, found: str, allowed: str) -> CompileError:
    """The error for an image of another size."""
    message, need = "the image has not the size that the model takes", "scale or crop the images beforehand"
    return fail("SAMPLES-IMAGES", message, where=str(path), found=found, allowed=allowed, help=need)
