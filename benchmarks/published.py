"""BrainChip's published measurements, typed; the files and what their columns mean are in `benchmarks/published`.

per_layer()      clocks and input sparsity of single layers on the AKD1500
full_models()    clocks, power and energy of whole networks on the AKD1000, the AKD1500 and the Akida 2 FPGA
akida1_zoo()     NPs and energy of the model zoo on Akida 1
akida2_zoo()     NPs of the model zoo on Akida 2
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "published"


@dataclass(frozen=True)
class LayerMeasurement:
    """One layer on an AKD1500 at 400 MHz, batch 1, in the mapping with the fewest NPs."""

    network: str
    """Its entry in `benchmarks.zoo`."""
    index: int
    """0 is the layer of the input engine."""
    kind: str
    """`hrc` (input engine), `conv`, `sep` or `fc`."""
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    """Behind a max pooling, in front of an average."""
    kernel: int
    stride: int
    nps: int
    """NPs, of the input engine 1."""
    input_sparsity: float
    """Part of the inputs that is 0; of the input engine stated as 0."""
    clocks: int
    latency_ms: float
    how_read: str
    source: str

    @property
    def exact(self) -> bool:
        """Read from text, not from the bars of a figure."""
        return "text" in self.how_read

    @property
    def events(self) -> float:
        """Inputs that are not 0, a frame."""
        rows, columns, channels = self.input_shape
        return rows * columns * channels * (1 - self.input_sparsity)


@dataclass(frozen=True)
class ModelMeasurement:
    """One network on a device in a mapping mode; None is what was not published."""

    network: str
    """Its entry in `benchmarks.zoo`."""
    generation: int
    model: str
    """As the file calls it, with what is special of the run."""
    device: str
    clock_mhz: float
    mode: str
    """`Minimal`, `AllNps` or `HwPr`."""
    nps: int | None
    """NPs of all passes together, the input engine included."""
    passes: int | None
    clocks: int | None
    """From the first to the last clock of a frame, or of all frames of a batch."""
    latency_ms: float | None
    total_mw: float | None
    total_mj: float | None
    dynamic_mw: float | None
    """Above what the chip draws when idle."""
    dynamic_mj: float | None
    mean_sparsity: float | None
    """Mean over the layers of the part of their outputs that is 0."""
    source: str


@dataclass(frozen=True)
class Akida1ZooEntry:
    """A row of the zoo's page, Akida 1."""

    network: str
    """Its entry in `benchmarks.zoo`."""
    model: str
    parameters: int
    """As rounded on the page."""
    rounding: int
    """One unit in the last digit of that."""
    quantization: tuple[int, int, int]
    """Bits of the first weights, of the others, of activations."""
    size_kb: float
    """Of the program in the mapping with the fewest NPs."""
    nps: int
    """The fewest, without the input engine."""
    energy_mj: float | None
    """A frame on an AKD1500 in the most efficient mapping."""
    source: str


@dataclass(frozen=True)
class Akida2ZooEntry:
    """A row of the zoo's page, Akida 2."""

    network: str
    """Its entry in `benchmarks.zoo`; empty if it is not there."""
    model: str
    parameters: int
    rounding: int
    bits: int
    """Of weights and activations."""
    nps: int
    """The fewest on a device of 12 nodes, without the input engine."""
    source: str


LAYER_NETWORKS = {
    "akidanet_imagenet a0.25 224": "akidanet_0.25_224",
    "akidanet_imagenet a0.5 160": "akidanet_0.5_160",
    "akidanet_imagenet a0.5 224": "akidanet_0.5_224",
    "akidanet_imagenet a1.0 160": "akidanet_1.0_160",
    "arrhythmia_classification": "arrhythmia",
    "plant_village": "plant_village",
    "speech_commands": "kws_33",
}
"""Entries in `benchmarks.zoo` by what the file of single layers calls them."""

MODEL_NETWORKS = {
    "AkidaNet 0.25 ImageNet 224": "akidanet_0.25_224",
    "AkidaNet 0.25 VWW 96": "vww",
    "AkidaNet 0.5 ImageNet 160": "akidanet_0.5_160",
    "AkidaNet 0.5 ImageNet 224": "akidanet_0.5_224",
    "AkidaNet 0.5 PlantVillage 224": "plant_village",
    "AkidaNet 1.0 ImageNet 160": "akidanet_1.0_160",
    "Arrhythmia 5x5 sep": "arrhythmia",
    "DS-CNN KWS (33 cl)": "kws_33",
    "DS-CNN KWS": "kws_12",
    "MobileNet 0.25 VWW 96": "mobilenet_vww",
    "UORED-VAFCLS bearing fault": "uored",
    "YOLOv2 AkidaNet0.5 VOC 224": "yolo_voc_20",
}
"""The same by how the names of the other file begin; the first that fits."""


def per_layer() -> tuple[LayerMeasurement, ...]:
    """`akd1500_per_layer.csv`."""
    return tuple(
        LayerMeasurement(
            network=LAYER_NETWORKS[row["model"]],
            index=int(row["layer_index"]),
            kind=row["kind"],
            input_shape=(int(row["in_h"]), int(row["in_w"]), int(row["in_c"])),
            output_shape=(int(row["out_h"]), int(row["out_w"]), int(row["out_c"])),
            kernel=int(row["kernel"]),
            stride=int(row["stride"]),
            nps=int(row["nps_minimal"]),
            input_sparsity=float(row["input_sparsity"]),
            clocks=int(row["cycles_400MHz"]),
            latency_ms=float(row["latency_ms"]),
            how_read=row["how_read"],
            source=row["source"],
        )
        for row in rows("akd1500_per_layer.csv")
    )


def full_models() -> tuple[ModelMeasurement, ...]:
    """`akida_full_model.csv`."""
    return tuple(
        ModelMeasurement(
            network=next(entry for start, entry in MODEL_NETWORKS.items() if row["model"].startswith(start)),
            generation=2 if row["device"].startswith("Akida 2") else 1,
            model=row["model"],
            device=row["device"],
            clock_mhz=float(row["clock_MHz"]),
            mode=row["map_mode"],
            nps=whole(row["NPs_incl_HRC"]),
            passes=whole(row["passes"]),
            clocks=whole(row["inference_clk"]),
            latency_ms=real(row["latency_ms"]),
            total_mw=real(row["total_mW"]),
            total_mj=real(row["total_mJ"]),
            dynamic_mw=real(row["dyn_mW"]),
            dynamic_mj=real(row["dyn_mJ"]),
            mean_sparsity=real(row["mean_sparsity_pct"], 0.01),
            source=row["source"],
        )
        for row in rows("akida_full_model.csv")
    )


def akida1_zoo() -> tuple[Akida1ZooEntry, ...]:
    """`akida1_zoo.csv`."""
    return tuple(
        Akida1ZooEntry(
            network=row["network"],
            model=row["model"],
            parameters=int(row["params"]),
            rounding=int(row["params_rounding"]),
            quantization=three(row["quantization"]),
            size_kb=float(row["size_KB"]),
            nps=int(row["NPs_excl_HRC"]),
            energy_mj=real(row["energy_mJ"]),
            source=row["source"],
        )
        for row in rows("akida1_zoo.csv")
    )


def akida2_zoo() -> tuple[Akida2ZooEntry, ...]:
    """`akida2_zoo.csv`."""
    return tuple(
        Akida2ZooEntry(
            network=row["network"],
            model=row["model"],
            parameters=int(row["params"]),
            rounding=int(row["params_rounding"]),
            bits=int(row["bits"]),
            nps=int(row["NPs_excl_HRC"]),
            source=row["source"],
        )
        for row in rows("akida2_zoo.csv")
    )


def rows(name: str) -> Iterator[dict[str, str]]:
    """The rows of a file by column."""
    with (FOLDER / name).open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def whole(text: str) -> int | None:
    """An integer, or None for nothing."""
    return int(text) if text else None


def real(text: str, unit: float = 1.0) -> float | None:
    """A number, or None for nothing."""
    return float(text) * unit if text else None


def three(text: str) -> tuple[int, int, int]:
    """Three integers between slashes."""
    first, others, activations = map(int, text.split("/"))
    return first, others, activations
