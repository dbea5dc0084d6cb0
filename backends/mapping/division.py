"""How a layer is divided among NPs: by rows where the map is too large, by filters where the weights are.

Fewest parts first (`smallest_division`); `finer` divides the filters further.  That these two rules, with one size of
map and one of weights, give the published minimal NP counts of 23 of 24 networks of Akida 1, and the finer ones all
but one of 28 published maps, is what `benchmarks/silicon.py` shows.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnn2snn_ir.backends.mapping.plan import Part, Span
from cnn2snn_ir.backends.mapping.work import Kind, Work
from cnn2snn_ir.device import Device
from cnn2snn_ir.dialects.npu import Unit


@dataclass(frozen=True)
class Division:
    """So many parts by rows and by filters."""

    unit: Unit
    by_rows: int = 1
    by_filters: int = 1
    why: tuple[str, ...] = ()

    @property
    def nps(self) -> int:
        """NPs that it takes."""
        return 0 if self.unit in (Unit.HRC, Unit.DMA) else self.by_rows * self.by_filters


class DoesNotFitError(Exception):
    """No division makes a layer fit an NP; the message is what is too large, and for what."""


def smallest_division(work: Work, device: Device) -> Division:
    """The division into the fewest parts; raises `DoesNotFitError`."""
    if work.kind is Kind.INPUT:
        if not device.chip.input_engine.value:
            raise DoesNotFitError("the device has no input engine")
        return Division(Unit.HRC)
    if work.kind is Kind.MERGE:
        return Division(Unit.DMA)
    if work.kind is Kind.DENSE:
        return _dense(work, device)
    rows, why_rows = _by_rows(work, device)
    filters, why_filters = _by_filters(work, device)
    return Division(Unit.CNP, rows, filters, (*why_rows, *why_filters))


def finer(division: Division, work: Work, filters: int) -> Division:
    """The division with at most so many filters in a part; dense layers stay whole."""
    parts = -(-work.filters // filters)
    if division.unit is not Unit.CNP or parts <= division.by_filters:
        return division
    return Division(division.unit, division.by_rows, parts, (*division.why, "more NPs"))


def parts_of(division: Division, work: Work, device: Device, first_np: int) -> tuple[Part, ...]:
    """The parts of a layer, on consecutive NPs: all filters of the first rows, then of the next."""
    reach = work.kernel[0] // 2
    parts: list[Part] = []
    for rows in spans(work.rows, division.by_rows):
        halo = (min(reach, rows[0]), min(reach, work.rows - rows[1]))
        for filters in spans(work.filters, division.by_filters):
            count = filters[1] - filters[0]
            held = work.weight_bytes(count) if work.weight_bits else 0
            size = work.input_bytes(rows[1] - rows[0], min(work.input_bits, int(device.limits.input_bits.value)))
            number = first_np + len(parts) if division.nps else 0
            parts.append(Part(number, rows, halo, filters, held, size))
    return tuple(parts)


def spans(size: int, parts: int) -> list[Span]:
    """`size` places in `parts` spans, as equal as possible."""
    return [(i * size // parts, (i + 1) * size // parts) for i in range(parts)]


def _dense(work: Work, device: Device) -> Division:
    capacity = int(device.limits.np_weight_bytes.value)
    needed = work.weight_bytes(work.filters)
    if needed <= capacity:
        return Division(Unit.FNP3)
    if not device.chip.external_memory.value:
        raise DoesNotFitError(f"{needed:,} bytes of weights, and the device has no external memory")
    return Division(Unit.FNP2, why=(f"{needed:,} bytes of weights stay in external memory; an NP holds {capacity:,}",))


def _by_rows(work: Work, device: Device) -> tuple[int, tuple[str, ...]]:
    """The fewest parts whose rows an NP takes."""
    most, capacity = int(device.limits.np_rows.value), int(device.limits.np_input_bytes.value)
    bits = min(work.input_bits, int(device.limits.input_bits.value))
    if work.input_bytes(1, bits) > capacity:
        raise DoesNotFitError(f"one row of {work.input_bytes(1, bits):,} bytes; an NP takes {capacity:,}")
    by_limit = -(-work.rows // most)
    parts = by_limit
    while work.input_bytes(-(-work.rows // parts), bits) > capacity:
        parts += 1
    if parts > by_limit:
        return parts, (f"input of {work.input_bytes(work.rows, bits):,} bytes; an NP takes {capacity:,}",)
    return parts, (f"{work.rows} rows; an NP takes {most}",) if parts > 1 else ()


def _by_filters(work: Work, device: Device) -> tuple[int, tuple[str, ...]]:
    """The fewest parts whose weights an NP holds."""
    capacity, block = int(device.limits.np_weight_bytes.value), int(device.limits.filter_block.value)
    if work.weight_bytes(1, block) > capacity:
        raise DoesNotFitError(f"{work.weight_bytes(1, block):,} bytes for {block} filters; an NP holds {capacity:,}")
    parts = 1
    while work.weight_bytes(-(-work.filters // parts), block) > capacity:
        parts += 1
    why = f"weights of {work.weight_bytes(work.filters):,} bytes; an NP holds {capacity:,}"
    return parts, (why,) if parts > 1 else ()
