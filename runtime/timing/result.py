"""What a simulation says: one record that the tables, the JSON, the trace and the report are all made from.

Clocks are those of the chip; energies are microjoules, power milliwatts, times milliseconds; a frame is one sample.
Every number is a mean over the frames that were simulated, unless its name says otherwise.  Energies are None for a
device without energy data, throughout.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cnn2snn_ir.device.tables import StatedError

FORMAT = 1
"""Version of the JSON form."""

DENSITY_BINS = 20
"""Bins of a density histogram, over 0 to 1."""


@dataclass(frozen=True)
class SourceLayer:
    """A layer of the imported model that a hardware layer does the work of."""

    name: str
    kind: str


@dataclass(frozen=True)
class PartResult:
    """What one unit does for one layer: rows `[first, last)` of the input with `halo` rows above and below, and
    filters `[first, last)`."""

    unit: int
    """Number of the NP; -1 is the input engine, -2 external memory, where maps are merged."""
    rows: tuple[int, int]
    halo: tuple[int, int]
    filters: tuple[int, int]
    weight_bytes: int
    input_bytes: int
    events: float
    """Events that reach the unit, a frame."""
    clocks: float


@dataclass(frozen=True)
class LayerClocks:
    """Where the clocks of a layer go; they sum to `total`."""

    events: float
    """Working on events, or the dense work of the input engine."""
    scan: float
    """Looking through the input for events."""
    memory: float
    """Weights read from external memory during the layer."""
    noc: float
    """Waiting for events from the network on chip."""
    reload: float
    """Weights put into the NPs for the pass."""
    spill: float
    """Activations written to, and read from, external memory at the border of a pass."""

    @property
    def total(self) -> float:
        """All of them."""
        return self.events + self.scan + self.memory + self.noc + self.reload + self.spill


@dataclass(frozen=True)
class LayerEnergy:
    """Where the energy of a layer goes, in microjoules a frame; the floor is counted while the layer runs."""

    events: float
    input_engine: float
    reload: float
    floor: float

    @property
    def dynamic(self) -> float:
        """What the layer adds to the floor."""
        return self.events + self.input_engine + self.reload

    @property
    def total(self) -> float:
        """All of them."""
        return self.dynamic + self.floor


@dataclass(frozen=True)
class LayerResult:
    """One hardware layer."""

    name: str
    kind: str
    """Kind of hardware layer: `InputConvolutional`, `SeparableConvolutional`, …"""
    sources: tuple[SourceLayer, ...]
    inputs: tuple[str, ...]
    """Names of the layers that it reads."""
    sequence: int
    pass_index: int
    unit: str
    """`HRC`, `CNP`, `FNP2` (weights in external memory) or `FNP3`."""
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    kernel: tuple[int, int]
    weight_bits: int
    weight_bytes: int
    """Packed bytes, each weight once."""
    parts: tuple[PartResult, ...]
    sites: int
    """Elements of the input."""
    events: float
    """Elements that are not zero, a frame."""
    density_histogram: tuple[int, ...]
    """Rows of input (of all frames) by the fraction that is not zero, in `DENSITY_BINS` equal bins."""
    macs: float
    """Dense multiplications a frame."""
    event_macs: float
    """Multiplications with something other than zero, a frame."""
    moved_bytes: float
    """Bytes that come in a frame: events to every unit, and weights that are reloaded or external."""
    clocks: LayerClocks
    bound: str
    """The largest of the clocks, in words."""
    energy: LayerEnergy | None

    @property
    def density(self) -> float:
        """Events in relation to sites."""
        return self.events / self.sites if self.sites else 0.0

    @property
    def utilization(self) -> float:
        """Work of all units in relation to that of the slowest times their number."""
        slowest = max((part.clocks for part in self.parts), default=0.0)
        return sum(part.clocks for part in self.parts) / (slowest * len(self.parts)) if slowest else 1.0


@dataclass(frozen=True)
class PassResult:
    """Layers that are in the NPs at the same time."""

    index: int
    nps: int
    reload_bytes: int
    """Weights that the NPs take in for the pass, copies included."""
    spill_bytes: float
    """Activations that wait in external memory for the pass."""
    layers: tuple[str, ...]
    clocks: float


@dataclass(frozen=True)
class SequenceResult:
    """Consecutive layers in one place: on the chip, or on the host."""

    name: str
    unit: str
    """`hardware` or `host`."""
    passes: tuple[PassResult, ...]
    layers: tuple[str, ...]


@dataclass(frozen=True)
class DeviceResult:
    """The device, as far as a reader of the result needs it."""

    name: str
    generation: str
    """`v1` or `v2`."""
    confidence: str
    """Of the timing: `fitted`, `low`, …; shown wherever a time is."""
    clock_hz: float
    nodes: int
    nps_per_node: int
    mesh: tuple[int, int]
    """Rows and columns of nodes, for pictures."""
    peak_macs_per_clock: float
    """Of all NPs."""
    input_bytes_per_clock: float
    """What the network on chip carries to one NP."""
    has_energy: bool


@dataclass(frozen=True)
class Assumption:
    """One constant of the device that the numbers rest on."""

    name: str
    value: str
    unit: str
    source: str
    confidence: str


@dataclass(frozen=True)
class Slice:
    """One stretch of work on the time axis of the batch."""

    unit: int
    """Number of the NP; -1 is the input engine, -2 external memory."""
    layer: str
    frame: int
    pass_index: int
    kind: str
    """`compute`, `reload`, `spill` or `wait`."""
    start: float
    end: float


@dataclass(frozen=True)
class Simulation:
    """A run of a placed program on a device."""

    model: str
    source: str
    """The file that the program was made from."""
    device: DeviceResult
    mode: str
    frames: int
    """Samples whose events were counted."""
    batch: int
    """Frames in flight."""
    handoff: str
    """`single`: a layer takes the next frame when its consumer is through; `double`: at once."""
    what_if_density: float | None
    """The density that was assumed instead of counted events; None for counted events."""
    nps: int
    """NPs of the largest pass."""
    assigned_nps: int
    """NPs of all passes together, as the vendor's tables count them, without the input engine."""
    input_engine: bool
    skip_dmas: int
    external_bytes: int
    program_bytes: int
    program_clocks: float
    """To load the program, once."""
    sequences: tuple[SequenceResult, ...]
    layers: tuple[LayerResult, ...]
    latency_clocks: float
    """One frame alone."""
    batch_clocks: float
    """The whole batch: of one frame the mean of all, of several the first ones behind each other."""
    slowest_frame_clocks: float
    """The largest latency of one of the frames."""
    dynamic_mj: float | None
    total_mj: float | None
    assumptions: tuple[Assumption, ...]
    stated_errors: tuple[StatedError, ...]
    notes: tuple[str, ...]
    """What a reader must know: low confidence, a what-if, layers of the host that take no part."""
    timeline: tuple[Slice, ...]

    @property
    def latency_ms(self) -> float:
        """One frame alone, in milliseconds."""
        return 1e3 * self.latency_clocks / self.device.clock_hz

    @property
    def batch_ms(self) -> float:
        """The whole batch, in milliseconds."""
        return 1e3 * self.batch_clocks / self.device.clock_hz

    @property
    def fps(self) -> float:
        """Frames a second of the batch."""
        return self.batch * self.device.clock_hz / self.batch_clocks if self.batch_clocks else 0.0

    @property
    def power_mw(self) -> float | None:
        """Mean power of one frame alone."""
        return None if self.total_mj is None or not self.latency_ms else 1e3 * self.total_mj / self.latency_ms

    @property
    def passes(self) -> int:
        """Passes of all hardware sequences."""
        return sum(len(s.passes) for s in self.sequences if s.unit == "hardware")

    def as_json(self) -> dict[str, Any]:
        """Plain data, with what is computed beside what is stored."""
        data = asdict(self)
        data["format"] = FORMAT
        data |= {key: getattr(self, key) for key in ("latency_ms", "batch_ms", "fps", "power_mw", "passes")}
        for layer, plain in zip(self.layers, data["layers"], strict=True):
            plain |= {"density": layer.density, "utilization": layer.utilization}
            plain["clocks"]["total"] = layer.clocks.total
            if layer.energy is not None:
                plain["energy"] |= {"dynamic": layer.energy.dynamic, "total": layer.energy.total}
        return data
