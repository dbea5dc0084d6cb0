"""What Keras computed, as `tests/oracle` recorded it: every layer's integers, exponents and scales."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from cnn2snn_ir.frontends.keras_h5.archive import read_archive

FIXTURES = Path(__file__).parent.parent / "fixtures"
EXAMPLES = Path(__file__).parent.parent.parent / "examples"

SILENT = ("QuantizedRescaling", "QuantizedDropout", "Dropout")
"""Layers that change no integer, so no value of the IR is theirs."""

CARRIER_LIMIT = 1 << 24
"""Above it QuantizeML's float32 carriers round, and exact integers may differ from them."""


class Recorded:
    """One recorded model: `model.h5` and the `.npz` of its tensors."""

    def __init__(self, model: Path, record: Path) -> None:
        self.model = model
        with np.load(record) as archive:
            self.data = dict(archive)

    @property
    def layers(self) -> list[str]:
        """Integer layers that have values of their own, in order."""
        named = dict.fromkeys(k.rpartition("|")[0] for k in self.data if k.endswith(("|v", "|sha256")))
        silent = {r.name for r in read_archive(self.model).layers if r.class_name in SILENT}
        return [name for name in named if name not in silent]

    def calls(self, function: Callable[[np.ndarray], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """What `function` returns for the samples; of a model that remembers, call by call, as it was recorded."""
        samples = self.data["x"]
        if "__steps__" not in self.data:
            return dict(function(samples))
        steps = [function(step) for step in samples]
        return {name: np.stack([values[name] for values in steps]) for name in steps[0]}

    def equals(self, name: str, array: np.ndarray) -> bool:
        """True if these are a layer's integers; shapes may differ by dimensions of 1."""
        integers = np.ascontiguousarray(array.astype("<i8"))
        if f"{name}|v" in self.data:
            return np.array_equal(integers.reshape(-1), self.data[f"{name}|v"].reshape(-1))
        return hashlib.sha256(integers.tobytes()).hexdigest() == str(self.data[f"{name}|sha256"])

    def differing(self, values: Mapping[str, np.ndarray]) -> list[str]:
        """The layers in `values` whose integers are others than Keras's."""
        return [name for name in self.layers if name in values and not self.equals(name, values[name])]


class RecordedOnnx(Recorded):
    """One recorded ONNX model of QuantizeML: `model.onnx`, and the integers of its tensors, maps as NHWC."""

    @property
    def layers(self) -> list[str]:
        """The tensors of QuantizeML's operators, in order."""
        return list(dict.fromkeys(k.rpartition("|")[0] for k in self.data if k.endswith(("|v", "|sha256"))))


def recorded_onnx(folder: Path = FIXTURES / "onnx") -> list[RecordedOnnx]:
    """All recorded ONNX models of a folder."""
    return [RecordedOnnx(p.with_suffix(".onnx"), p) for p in sorted(folder.glob("*.npz"))]


def recorded_models(folder: str = "quantizeml") -> list[Recorded]:
    """All recorded models of the fixtures."""
    paths = sorted((FIXTURES / folder).glob("*.npz"))
    return [Recorded(p.with_suffix(".h5"), p) for p in paths]
