"""What is known of a device: tables of constants, each with its unit, its source and its confidence.

The reader of device files, `cnn2snn devices`, the assumptions in a report and the documentation follow these tables.
A constant of which nothing is known has no place here: the model that wants one must be able to do without.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple


class Confidence(StrEnum):
    """How sure a constant is, surest first."""

    VENDOR = "vendor"
    """Stated by the maker of the chip."""
    MEASURED = "measured"
    """Read from one published measurement."""
    FITTED = "fitted"
    """Fitted to published measurements, and checked on others."""
    LOW = "low"
    """Fitted to few measurements, and checked on none."""
    ASSUMED = "assumed"
    """Not public: a choice, which a device file of one's own can change."""


class Constant(NamedTuple):
    """A value with where it comes from."""

    value: Any
    source: str
    confidence: Confidence

    @property
    def number(self) -> float:
        """The value of a constant that is a number."""
        return float(self.value)

    @property
    def text(self) -> str:
        """The value for a reader."""
        return ", ".join(map(str, self.value)) if isinstance(self.value, tuple) else str(self.value)


def constant(doc: str, kind: type, unit: str = "") -> Any:
    """A row of a table: a sentence, the Python type of its value, and its unit."""
    return dataclasses.field(metadata={"doc": doc, "kind": kind, "unit": unit})


@dataclass(frozen=True)
class Chip:
    """What the chip consists of."""

    nodes: Constant = constant("Nodes of the mesh.", int, "nodes")
    nps_per_node: Constant = constant("Neural processors of a node.", int, "NPs")
    mesh: Constant = constant("Rows and columns in which the nodes lie.", tuple, "nodes")
    clock_mhz: Constant = constant("Clock of the NPs.", float, "MHz")
    input_engine: Constant = constant("Whether there is an engine for the first convolution.", bool)
    multi_pass: Constant = constant("Whether it can take new weights in the middle of a model.", bool)
    external_memory: Constant = constant("Whether dense layers can keep their weights outside.", bool)


@dataclass(frozen=True)
class Limits:
    """What one NP takes, and how layers are divided."""

    np_rows: Constant = constant("Rows of a feature map that one NP takes.", int, "rows")
    np_input_bytes: Constant = constant("Input map of one NP, packed, without halo.", int, "bytes")
    np_weight_bytes: Constant = constant("Weights of one NP, packed.", int, "bytes")
    filter_block: Constant = constant("Filters whose weights are stored together.", int, "filters")
    filters_at_once: Constant = constant("Filters that an event is worked on for at once.", int, "filters")
    np_macs_per_clock: Constant = constant("Multipliers of one NP.", int, "MAC/clock")
    input_bits: Constant = constant("Bits of one element of an input map.", int, "bits")
    parts: Constant = constant("Parts that `hw-pr` divides a layer into, at most.", int, "parts")
    pass_gain: Constant = constant("By how much finer a further pass must divide filters in `hw-pr`.", float, "%")


@dataclass(frozen=True)
class Timing:
    """What a layer costs in clocks."""

    event_clocks: dict[str, Constant] = constant(
        "By kind of layer, kernel and weight bits: one event for one filter; of a depthwise layer, one event.",
        dict,
        "clocks",
    )
    scan: Constant = constant("Looking for events: one element of the input for one filter.", float, "clocks")
    input_engine_clocks: Constant = constant("Input engine: one filter at one position.", float, "clocks")
    input_engine_filters: Constant = constant("Filters that it works on at once.", int, "filters")
    input_engine_taps: Constant = constant("Kernel elements that it takes in that time.", int, "elements")
    external_neuron: Constant = constant("Dense layer with external weights: one neuron.", float, "clocks")
    external_weight: Constant = constant("The same: one weight of 4 bits.", float, "clocks")
    reload: Constant = constant("New weights for a pass: one byte into one NP.", float, "clocks/byte")
    pass_switch: Constant = constant("From one pass to the next, whatever its size.", float, "clocks")
    reload_first: Constant = constant("Whether the first pass of a lone frame takes new weights, too.", bool)
    spill: Constant = constant("Activations between passes: one byte out, or in.", float, "clocks/byte")
    handoff: Constant = constant("`single`: a layer waits until its consumer is through; `double`: it does not.", str)
    program_load: Constant = constant("Loading a program: one byte.", float, "clocks/byte")


@dataclass(frozen=True)
class Traffic:
    """What the network on chip and the memory access carry."""

    link_events: Constant = constant("Events that one NP can receive; 0 is no limit.", float, "events/clock")
    hop: Constant = constant("From one node to the next.", float, "clocks")
    dma_bytes: Constant = constant("Input and output of a frame; 0 is no limit.", float, "bytes/clock")
    event_bytes: Constant = constant("One event on a link.", float, "bytes")


@dataclass(frozen=True)
class Energy:
    """What work costs in energy."""

    floor_mw: Constant = constant("Power of the chip doing nothing.", float, "mW")
    event: Constant = constant("One clock of one NP on events.", float, "pJ")
    input_engine: Constant = constant("One clock of the input engine.", float, "pJ")
    reload: Constant = constant("One clock of new weights.", float, "pJ")
    nonzero_weights: Constant = constant("Percent of weights that are not zero, at which …", tuple, "%")
    nonzero_energy: Constant = constant("… energy of an event, in percent of the full one.", tuple, "%")


@dataclass(frozen=True)
class StatedError:
    """How far the timing or the energy was from published measurements that it had not been fitted to."""

    what: str
    rows: int
    mean_percent: float
    max_percent: float


@dataclass(frozen=True, eq=False)
class Device:
    """A device as a file describes it."""

    name: str
    generation: str
    """`v1` or `v2`."""
    confidence: Confidence
    """Of the timing as a whole."""
    description: str
    chip: Chip
    limits: Limits
    timing: Timing
    traffic: Traffic
    energy: Energy | None
    stated_errors: tuple[StatedError, ...]

    @property
    def nps(self) -> int:
        """All neural processors."""
        return int(self.chip.nodes.value) * int(self.chip.nps_per_node.value)

    @property
    def clock_hz(self) -> float:
        """Clocks a second."""
        return self.chip.clock_mhz.number * 1e6

    def constants(self) -> dict[str, Constant]:
        """Every constant by its full name, such as `timing.scan`."""
        found: dict[str, Constant] = {}
        for section in SECTIONS:
            table = getattr(self, section)
            for field in dataclasses.fields(table) if table is not None else ():
                value = getattr(table, field.name)
                entries = value if isinstance(value, dict) else {"": value}
                for key, entry in entries.items():
                    found[f"{section}.{field.name}{f'.{key}' if key else ''}"] = entry
        return found


SECTIONS: dict[str, type] = {"chip": Chip, "limits": Limits, "timing": Timing, "traffic": Traffic, "energy": Energy}
"""The tables of a device file."""


@cache
def unit_of(name: str) -> str:
    """The unit of a constant by its full name."""
    section, field = name.split(".")[:2]
    return str(next(f.metadata["unit"] for f in dataclasses.fields(SECTIONS[section]) if f.name == field))
