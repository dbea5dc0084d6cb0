"""Simulations, nearly all without a simulator: shapes of real networks, made-up clocks, every sum in order.

The parts of a layer add up, a frame passes the layers in the order of the graph, and no unit works on two things at a
time; so what is drawn from them can be checked against what is in them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from benchmarks.zoo import build
from cnn2snn_ir.backends.mapping import map_program
from cnn2snn_ir.device import load_device
from cnn2snn_ir.runtime.timing import simulate as costs
from cnn2snn_ir.runtime.timing.activity import assumed
from cnn2snn_ir.runtime.timing.result import (
    DENSITY_BINS,
    Assumption,
    DeviceResult,
    LayerClocks,
    LayerEnergy,
    LayerResult,
    PartResult,
    PassResult,
    SequenceResult,
    Simulation,
    Slice,
    SourceLayer,
    StatedError,
)

ENGINE, MEMORY = -1, -2
PER_EVENT = {1: 0.386, 3: 0.648, 5: 2.24, 7: 9.27}
PER_SITE = 0.78
RELOAD_CLOCKS, NP_MICROJOULES, ENGINE_MICROJOULES, FLOOR_MW = 4.5, 66e-6, 60e-6, 112.0

AKD1500 = DeviceResult("AKD1500", "v1", "fitted", 400e6, 8, 4, (2, 4), 1024.0, 8.0, True)
AKD1000 = DeviceResult("AKD1000", "v1", "fitted", 300e6, 20, 4, (4, 5), 2560.0, 8.0, True)
SIX_NODES = DeviceResult("Akida 2 FPGA, six nodes", "v2", "low", 25e6, 6, 4, (2, 3), 768.0, 8.0, False)

ASSUMPTIONS = (
    *(
        Assumption(
            f"timing.event_clocks.conv {k}x{k}", str(c), "clocks", "the vendor's measurements of one layer", "measured"
        )
        for k, c in PER_EVENT.items()
    ),
    Assumption(
        "timing.clocks per event and filter, separable 3×3",
        "0.648",
        "clk",
        "vendor's measurements, 4-bit weights",
        "vendor",
    ),
    Assumption("timing.scan", "0.78", "clk", "vendor's fixed cost of one layer", "vendor"),
    Assumption("timing.reload", "4.5", "clk/B", "fitted to three models with several passes", "fitted"),
    Assumption("traffic.bytes of an event", "4", "B", "not public", "assumed"),
)


@dataclass(frozen=True)
class Spec:
    """A layer to be: height, width and channels of its input, what it makes of them, and where."""

    name: str
    shape: tuple[int, int, int]
    filters: int
    kernel: int = 3
    nps: int = 1
    density: float = 0.4
    stride: int = 1
    pass_index: int = 0
    inputs: tuple[str, ...] | None = None
    unit: str = "CNP"
    kind: str = "Convolutional"


def spans(total: int, pieces: int) -> list[tuple[int, int]]:
    """`total` in `pieces` ranges, none empty as long as there is enough."""
    edges = [round(total * i / pieces) for i in range(pieces + 1)]
    return list(pairwise(edges))


def weight_bytes(spec: Spec, filters: int) -> int:
    """Of 4 bits each."""
    channels = spec.shape[2]
    count = channels * (spec.kernel**2 + filters) if "Separable" in spec.kind else spec.kernel**2 * channels * filters
    return math.ceil(count / 2)


def make_parts(spec: Spec, free: list[int]) -> tuple[PartResult, ...]:
    height, width, channels = spec.shape
    if spec.unit == "HRC":
        clocks = 32.0 * math.ceil(spec.filters / 16) * (height // spec.stride) * (width // spec.stride)
        sites = height * width * channels
        return (PartResult(ENGINE, (0, height), (0, 0), (0, spec.filters), 0, sites, float(sites), clocks),)
    if spec.unit == "DMA":  # on no NP, which the record says with NP 0
        sites = height * width * channels
        return (PartResult(0, (0, height), (0, 0), (0, spec.filters), 0, sites, sites * spec.density, 2.0 * sites),)
    bands = max(n for n in range(1, spec.nps + 1) if spec.nps % n == 0 and n <= max(1, height // 4))
    parts = []
    for rows in spans(height, bands):
        halo = (min(spec.kernel // 2, rows[0]), min(spec.kernel // 2, height - rows[1]))
        for filters in spans(spec.filters, spec.nps // bands):
            sites = (rows[1] - rows[0] + sum(halo)) * width * channels
            made = filters[1] - filters[0]
            events = sites * spec.density
            clocks = PER_EVENT[spec.kernel] * events * made + PER_SITE * sites * made / channels
            weights = weight_bytes(spec, made)
            parts.append(PartResult(free.pop(0), rows, halo, filters, weights, sites, events, clocks))
    return tuple(parts)


def make_clocks(spec: Spec, parts: tuple[PartResult, ...], reloaded: bool, first: bool) -> LayerClocks:
    slowest = max(part.clocks for part in parts)
    scan = (
        0.0
        if spec.unit in ("HRC", "DMA")
        else slowest * PER_SITE / (PER_SITE + PER_EVENT[spec.kernel] * spec.density * 9)
    )
    memory = 2e5 + 3.45 * parts[0].weight_bytes if spec.unit == "FNP2" else 0.0
    reload = RELOAD_CLOCKS * sum(part.weight_bytes for part in parts) if reloaded else 0.0
    spill = math.prod(spec.shape) * spec.density / 2 if reloaded and first and spec.pass_index else 0.0
    noc = 0.02 * slowest if len(parts) > 8 else 0.0
    return LayerClocks(slowest - scan - noc, scan, memory, noc, reload, spill)


def histogram(spec: Spec, frames: int, seed: int) -> tuple[int, ...]:
    if spec.unit == "HRC":
        return (*(0 for _ in range(DENSITY_BINS - 1)), frames * spec.shape[0])
    rng = np.random.default_rng(seed)
    spread = 12.0
    rows = rng.beta(spread * spec.density + 1e-3, spread * (1 - spec.density) + 1e-3, frames * spec.shape[0])
    return tuple(int(n) for n in np.histogram(rows, DENSITY_BINS, (0, 1))[0])


def make_energy(spec: Spec, parts: tuple[PartResult, ...], clocks: LayerClocks, device: DeviceResult) -> LayerEnergy:
    busy = sum(part.clocks for part in parts)
    floor = FLOOR_MW * clocks.total / device.clock_hz * 1e3
    if spec.unit == "HRC":
        return LayerEnergy(0.0, ENGINE_MICROJOULES * busy, 0.0, floor)
    return LayerEnergy(NP_MICROJOULES * busy, 0.0, 12e-6 * clocks.reload, floor)


BOUNDS = {
    "events": "work on events",
    "scan": "looking for events",
    "memory": "external memory",
    "noc": "network on chip",
    "reload": "reload of weights",
    "spill": "activations in external memory",
}


def make_layers(specs: list[Spec], device: DeviceResult, frames: int) -> tuple[LayerResult, ...]:
    reloaded = len({spec.pass_index for spec in specs}) > 1
    layers: list[LayerResult] = []
    for index, spec in enumerate(specs):
        first = index == 0 or specs[index - 1].pass_index != spec.pass_index
        if first:
            free = list(range(device.nodes * device.nps_per_node))
        parts = make_parts(spec, free)
        clocks = make_clocks(spec, parts, reloaded, first)
        height, width, _ = spec.shape
        sites = math.prod(spec.shape)
        dense = spec.unit == "HRC"
        macs = float(sites * spec.filters * spec.kernel**2 / spec.stride**2)
        before = (specs[index - 1].name,) if index else ()
        weights = weight_bytes(spec, spec.filters)
        split = {"events": clocks.events, "scan": clocks.scan, "memory": clocks.memory, "noc": clocks.noc}
        split |= {"reload": clocks.reload, "spill": clocks.spill}
        layers.append(
            LayerResult(
                name=spec.name,
                kind="InputConvolutional" if dense else spec.kind,
                sources=(SourceLayer(spec.name, "Conv2D"), SourceLayer(f"{spec.name}/relu", "QuantizedReLU")),
                inputs=before if spec.inputs is None else spec.inputs,
                sequence=0,
                pass_index=spec.pass_index,
                unit=spec.unit,
                input_shape=spec.shape,
                output_shape=(-(-height // spec.stride), -(-width // spec.stride), spec.filters),
                kernel=(spec.kernel, spec.kernel),
                weight_bits=8 if dense or device.generation == "v2" else 4,
                weight_bytes=weights,
                parts=parts,
                sites=sites,
                events=float(sites) if dense else sites * spec.density,
                density_histogram=histogram(spec, frames, index),
                macs=macs,
                event_macs=macs if dense else macs * spec.density,
                moved_bytes=4.0 * sum(p.events for p in parts) + (weights if clocks.reload or clocks.memory else 0),
                clocks=clocks,
                bound=BOUNDS[max(split, key=split.__getitem__)],
                energy=make_energy(spec, parts, clocks, device) if device.has_energy else None,
            )
        )
    return tuple(layers)


def unit_of(layer: LayerResult, part: PartResult) -> int:
    """Where a part works, as slices number it."""
    return MEMORY if layer.unit == "DMA" else part.unit


def layer_slices(layer: LayerResult, frame: int, start: float) -> list[Slice]:
    """What the units do for a layer and a frame: external memory first, then the parts, which wait for each other."""

    def piece(unit: int, kind: str, begin: float, end: float) -> list[Slice]:
        return [Slice(unit, layer.name, frame, layer.pass_index, kind, begin, end)] if end > begin else []

    clocks = layer.clocks
    loaded = start + clocks.reload
    ready = loaded + clocks.spill + clocks.memory
    slices = piece(MEMORY, "reload", start, loaded) + piece(MEMORY, "spill", loaded, ready)
    for part in layer.parts:
        unit = unit_of(layer, part)
        slices += piece(unit, "reload", start, loaded) if unit != MEMORY else []
        slices += piece(unit, "compute", ready, ready + part.clocks)
        slices += piece(unit, "wait", ready + part.clocks, start + clocks.total)
    return slices


def schedule(layers: tuple[LayerResult, ...], batch: int) -> tuple[list[Slice], list[float]]:
    """Slices, and when each frame is through: a layer takes a frame when its consumers are through with the last one,
    and frames follow one another where weights are reloaded."""
    several = len({layer.pass_index for layer in layers}) > 1
    memory_free = 0.0
    ends: dict[tuple[str, int], float] = {}
    slices: list[Slice] = []
    finished: list[float] = []
    for frame in range(batch):
        clock = finished[-1] if several and finished else 0.0
        for layer in layers:
            waits = [ends[name, frame] for name in layer.inputs]
            consumers = [other.name for other in layers if layer.name in other.inputs]
            waits += [ends[name, frame - 1] for name in (layer.name, *consumers) if frame]
            waits += [clock] if several else []
            waits += [memory_free] if layer.clocks.reload or layer.clocks.memory else []
            start = max(waits, default=0.0)
            slices += layer_slices(layer, frame, start)
            clock = ends[layer.name, frame] = start + layer.clocks.total
            memory_free = clock if layer.clocks.reload or layer.clocks.memory else memory_free
        finished.append(max(ends[layer.name, frame] for layer in layers))
    return slices, finished


def make_passes(layers: tuple[LayerResult, ...]) -> tuple[PassResult, ...]:
    passes = []
    several = len({layer.pass_index for layer in layers}) > 1
    for index in sorted({layer.pass_index for layer in layers}):
        inside = [layer for layer in layers if layer.pass_index == index]
        nps = sum(len(layer.parts) for layer in inside if layer.unit not in ("HRC", "DMA"))
        weights = sum(part.weight_bytes for layer in inside for part in layer.parts) if several else 0
        spilled = inside[0].events / 2 if index else 0.0
        names = tuple(layer.name for layer in inside)
        passes.append(PassResult(index, nps, weights, spilled, names, sum(layer.clocks.total for layer in inside)))
    return tuple(passes)


def simulate(
    model: str,
    specs: list[Spec],
    device: DeviceResult,
    *,
    batch: int = 1,
    mode: str = "AllNps",
    what_if: float | None = None,
    host: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> Simulation:
    """A consistent simulation of `specs` on `device`."""
    layers = make_layers(specs, device, frames=32)
    passes = make_passes(layers)
    slices, finished = schedule(layers, batch)
    latency = schedule(layers, 1)[1][0]
    sequences = [SequenceResult("hardware_0", "hardware", passes, tuple(layer.name for layer in layers))]
    if host:
        sequences.append(SequenceResult("host_1", "host", (), host))
    energies = [layer.energy for layer in layers if layer.energy is not None]
    floor = FLOOR_MW * latency / device.clock_hz
    dynamic = sum(energy.dynamic for energy in energies) / 1e3
    weights = sum(layer.weight_bytes for layer in layers)
    return Simulation(
        model=model,
        source=f"{model}.h5",
        device=device,
        mode=mode,
        frames=32,
        batch=batch,
        handoff="single",
        what_if_density=what_if,
        nps=max(p.nps for p in passes),
        assigned_nps=sum(p.nps for p in passes),
        input_engine=any(layer.unit == "HRC" for layer in layers),
        skip_dmas=sum(layer.unit == "DMA" for layer in layers),
        external_bytes=sum(layer.weight_bytes for layer in layers if layer.unit == "FNP2"),
        program_bytes=weights + 4096,
        program_clocks=1.2 * weights,
        sequences=tuple(sequences),
        layers=layers,
        latency_clocks=latency,
        batch_clocks=max(finished),
        slowest_frame_clocks=1.08 * latency,
        dynamic_mj=dynamic if device.has_energy else None,
        total_mj=dynamic + floor if device.has_energy else None,
        assumptions=ASSUMPTIONS,
        stated_errors=(
            StatedError("layers, Minimal", 53, 5.7, 18.0),
            StatedError("models in one pass", 12, 4.1, 12.9),
        )
        if device.generation == "v1"
        else (),
        notes=notes,
        timeline=tuple(slices),
    )


def kws(batch: int = 1) -> Simulation:
    """Keyword spotting: six layers, one pass, 31 units."""
    body = [Spec(f"separable_{i}", (25, 5, 64), 64, 3, n, d) for i, (n, d) in enumerate([(5, 0.31), (8, 0.27)])]
    body += [Spec(f"separable_{i}", (25, 5, 64), 64, 3, n, d) for i, (n, d) in enumerate([(8, 0.24), (8, 0.2)], 2)]
    body = [replace(spec, kind="SeparableConvolutional") for spec in body]
    stem = Spec("conv_0", (49, 10, 1), 64, 5, stride=2, density=1.0, unit="HRC")
    head = Spec("dense", (1, 1, 64), 12, 1, 1, 0.35, unit="FNP3", kind="FullyConnected")
    return simulate("ds_cnn_kws", [stem, *body, head], AKD1500, batch=batch)


def akidanet(batch: int = 1) -> Simulation:
    """AkidaNet 1.0/160 in five passes: 129 NPs assigned, a classifier in external memory, a head on the host."""
    table = [
        (80, 32, 64, 2, 8, 0.52, 0), (80, 64, 128, 1, 8, 0.44, 0), (40, 128, 128, 1, 8, 0.41, 0),
        (40, 128, 256, 2, 8, 0.38, 0), (20, 256, 256, 1, 16, 0.36, 1), (20, 256, 512, 2, 16, 0.31, 1),
        (10, 512, 512, 1, 8, 0.33, 2), (10, 512, 512, 1, 8, 0.30, 2), (10, 512, 512, 1, 8, 0.28, 2),
        (10, 512, 512, 1, 8, 0.27, 2), (10, 512, 512, 1, 8, 0.25, 3), (10, 512, 1024, 2, 16, 0.22, 3),
        (5, 1024, 1024, 1, 8, 0.19, 4),
    ]  # fmt: skip
    stem = Spec("conv_0", (160, 160, 3), 32, 3, stride=2, density=1.0, unit="HRC")
    body = [
        Spec(f"separable_{i}", (s, s, c), f, 3, n, d, stride, p, kind="SeparableConvolutional")
        for i, (s, c, f, stride, n, d, p) in enumerate(table, 1)
    ]
    head = Spec("classifier", (1, 1, 1024), 1000, 1, 1, 0.4, 1, 4, unit="FNP2", kind="FullyConnected")
    return simulate("akidanet_imagenet_160", [stem, *body, head], AKD1500, batch=batch, mode="HwPr", host=("softmax",))


def branches(batch: int = 1) -> Simulation:
    """Akida 2 with residual and concatenating branches: low confidence, no energy."""
    add, cat = (
        {"kind": "Add", "unit": "DMA", "kernel": 1, "density": 0.55},
        {"kind": "Concatenate", "unit": "DMA", "kernel": 1, "density": 0.47},
    )
    specs = [
        Spec("stem", (64, 64, 3), 16, 3, stride=2, density=1.0, unit="HRC", kind="InputConv2D"),
        Spec("block1/conv_a", (32, 32, 16), 16, 3, 2, 0.6, kind="Conv2D"),
        Spec("block1/conv_b", (32, 32, 16), 16, 3, 2, 0.45, kind="Conv2D"),
        Spec("block1/add", (32, 32, 16), 16, nps=1, inputs=("stem", "block1/conv_b"), **add),
        Spec("block2/wide", (32, 32, 16), 32, 5, 3, 0.5, 2, inputs=("block1/add",), kind="Conv2D"),
        Spec("block2/deep", (32, 32, 16), 32, 3, 2, 0.5, 2, inputs=("block1/add",), kind="DepthwiseConv2D"),
        Spec("block2/deep_pointwise", (16, 16, 32), 32, 1, 2, 0.38, kind="Conv2D"),
        Spec("block2/concat", (16, 16, 64), 64, nps=1, inputs=("block2/wide", "block2/deep_pointwise"), **cat),
        Spec("block3/conv", (16, 16, 64), 64, 3, 4, 0.47, 2, kind="Conv2D"),
        Spec("detector", (8, 8, 64), 20, 1, 2, 0.3, kind="Conv2D"),
    ]
    notes = (
        "Timing of Akida 2 rests on few published numbers: read it as an order of magnitude.",
        "No energy data for this device.",
    )
    return simulate("branches_v2", specs, SIX_NODES, batch=batch, notes=notes, host=("dequantizer", "softmax"))


def large(batch: int = 2) -> Simulation:
    """As big as it gets: 60 layers with long names, 80 NPs, 8 passes, and a density that was only supposed."""
    rng = np.random.default_rng(60)
    specs = [Spec("entry/conv_0", (224, 224, 3), 32, 3, stride=2, density=1.0, unit="HRC")]
    for i in range(1, 60):
        size, channels = 112 >> (i // 15), 16 << (i // 15)
        inputs = (specs[-1].name, specs[-3].name) if i % 7 == 6 else None
        name = f"stage_{i // 8}/inverted_bottleneck_{i:02d}/{('expand', 'depthwise', 'project')[i % 3]}"
        kernel = (3, 1, 5)[int(rng.integers(3))]
        nps = 10 if i % 8 else 9
        specs.append(
            Spec(name, (size, size, channels), channels, kernel, nps, float(rng.uniform(0.02, 0.9)), 1, i // 8, inputs)
        )
    note = "Densities are assumed, not counted: the numbers are a what-if."
    return simulate("inverted_bottleneck_224", specs, AKD1000, batch=batch, what_if=0.5, mode="HwPr", notes=(note,))


def placed(batch: int = 3) -> Simulation:
    """Not made up: keyword spotting with random weights, placed on a device and simulated."""
    mapping = map_program(build("kws_12"), load_device("AKD1500"), "hw-pr")
    return costs.simulate(mapping, assumed(mapping, 0.3), batch=batch)


HOSTILE = "</script><script>alert(1)</script><!--<b>&amp;\"'\\\u2028"


def hostile() -> Simulation:
    """Names that would break a page which trusts them."""
    specs = [Spec("conv", (16, 16, 3), 8, 3, unit="HRC", density=1.0), Spec(HOSTILE, (16, 16, 8), 8, 3, 2)]
    return replace(simulate("plain", specs, AKD1500, notes=(HOSTILE,)), model=HOSTILE, source=HOSTILE + "\udc80")


MADE_UP = {"kws": kws, "akidanet": akidanet, "branches": branches, "large": large, "hostile": hostile}
ALL = MADE_UP | {"placed": placed}
