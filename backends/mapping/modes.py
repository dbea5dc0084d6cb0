"""The three ways to use the NPs of a device, as the vendor's users know them.

* `minimal`: the fewest NPs, layers in one pass as long as they fit.
* `all-nps`: as few passes as `minimal`; in them the filters of all layers are divided as finely as fits, every layer
  to the same number of filters an NP.  (With this rule the NP counts of ten published maps come out, of an eleventh
  up to one NP; a choice layer by layer, such as halving the slowest, gives others.)
* `hw-pr`: the same with more passes: finest division in at most `limits.passes` passes and `limits.filter_parts` parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

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
    """Divisions and passes of layers that each fit the device; `passes` asks for another number of them in `hw-pr`."""
    best = list(smallest)
    groups = packed([d.nps for d in best], device.nps)
    if mode is MapMode.MINIMAL:
        return best, groups
    most = len(groups)
    if mode is MapMode.HW_PR:
        most = max(most, passes or int(device.limits.passes.value))
    for divisions in _ever_finer(works, smallest, device, mode):
        trial = packed([d.nps for d in divisions], device.nps)
        if len(trial) <= most:
            best, groups = divisions, trial
    return best, groups


def _ever_finer(
    works: Sequence[Work], smallest: Sequence[Division], device: Device, mode: MapMode
) -> Iterator[list[Division]]:
    """Divisions with fewer and fewer filters an NP, until a layer would need more NPs than there are."""
    limit = int(device.limits.filter_parts.value) if mode is MapMode.HW_PR else device.nps
    before = list(smallest)
    for filters in range(max((work.filters for work in works), default=0) - 1, 0, -1):
        divisions = [finer(d, work, filters) for d, work in zip(smallest, works, strict=True)]
        too_fine = (d.by_filters > max(limit, s.by_filters) for d, s in zip(divisions, smallest, strict=True))
        if any(too_fine) or any(d.nps > device.nps for d in divisions):
            return
        if divisions != before:
            yield divisions
            before = divisions
