"""The three ways to use the NPs of a device, as the vendor's users know them.

* `minimal`: the fewest NPs, layers in one pass as long as they fit.
* `all-nps`: as few passes as `minimal`; in them the filters of all layers are divided as finely as fits, every layer
  to the same number of filters an NP.  (With this rule the NP counts of all published maps of this mode come out; a
  choice layer by layer, such as halving the slowest, gives others.)
* `hw-pr`: the same with one pass more, and one more, as long as each makes the division finer by `limits.pass_gain`
  percent, and no layer has more than `limits.parts` parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from cnn2snn_ir.backends.mapping.division import Division, finer
from cnn2snn_ir.backends.mapping.work import Work
from cnn2snn_ir.device import Device


class MapMode(StrEnum):
    """How many NPs a program gets."""

    MINIMAL = "minimal"
    ALL_NPS = "all-nps"
    HW_PR = "hw-pr"


Groups = list[list[int]]


def packed(needs: Sequence[int], nps: int) -> Groups:
    """Layers (by index) in passes: each takes consecutive layers as long as their NPs are there."""
    groups: Groups = [[]]
    used = 0
    for index, need in enumerate(needs):
        if groups[-1] and used + need > nps:
            groups.append([])
            used = 0
        groups[-1].append(index)
        used += need
    return groups


def divide(
    works: Sequence[Work], smallest: Sequence[Division], device: Device, mode: MapMode, passes: int | None = None
) -> tuple[list[Division], Groups]:
    """Divisions and passes of layers that each fit the device; `passes` is the most that `hw-pr` then uses."""
    groups = packed([d.nps for d in smallest], device.nps)
    finest = Finest(max((work.filters for work in works), default=0), list(smallest), groups)
    if mode is MapMode.MINIMAL:
        return finest.divisions, groups
    by_passes = {len(groups): finest}
    for filters, divisions in ever_finer(works, smallest, device, mode):
        trial = packed([d.nps for d in divisions], device.nps)
        if len(trial) >= len(groups):
            by_passes[len(trial)] = Finest(filters, divisions, trial)
    chosen = by_passes[len(groups)]
    if mode is MapMode.HW_PR:
        chosen = with_passes(by_passes, len(groups), passes, device.limits.pass_gain.number)
    return chosen.divisions, chosen.groups


class Finest(NamedTuple):
    """The finest division of a network with a number of passes."""

    filters: int
    """At most so many in an NP."""
    divisions: list[Division]
    groups: Groups


def with_passes(by_passes: dict[int, Finest], fewest: int, most: int | None, gain: float) -> Finest:
    """The finest division with at most `most` passes, or as long as another pass gains `gain` percent."""
    if most is not None:
        allowed = [found for passes, found in by_passes.items() if passes <= max(most, fewest)]
        return min(allowed, key=lambda found: found.filters)
    passes = fewest
    while passes + 1 in by_passes:
        if by_passes[passes + 1].filters > (1 - gain / 100) * by_passes[passes].filters:
            break
        passes += 1
    return by_passes[passes]


def ever_finer(
    works: Sequence[Work], smallest: Sequence[Division], device: Device, mode: MapMode
) -> Iterator[tuple[int, list[Division]]]:
    """Divisions with fewer and fewer filters an NP, until a layer would have more parts than it may."""
    limit = min(device.nps, int(device.limits.parts.value)) if mode is MapMode.HW_PR else device.nps
    for filters in range(max((work.filters for work in works), default=0) - 1, 0, -1):
        divisions = [finer(d, work, filters) for d, work in zip(smallest, works, strict=True)]
        if any(d.nps > max(limit, s.nps) for d, s in zip(divisions, smallest, strict=True)):
            return
        yield filters, divisions
