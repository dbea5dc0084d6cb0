"""`cnn2snn map`: a program on a device, and what decided how it is divided."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cnn2snn_ir.backends.mapping import Mapping, map_program
from cnn2snn_ir.backends.mapping.explain import HEADING, advice, rows
from cnn2snn_ir.device import Device, load_device
from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.runtime.model import table
from cnn2snn_ir.tools.loading import MODEL_SUFFIXES, sources
from cnn2snn_ir.versions import AkidaVersion

if TYPE_CHECKING:
    from cnn2snn_ir.dialects.builtin import Module


def program_for(path: Path, device: Device) -> Module:
    """The program of a file, or of a model that is converted for the device's generation."""
    if path.suffix.lower() in MODEL_SUFFIXES:
        from cnn2snn_ir.api import compile_model

        return compile_model(path, target=AkidaVersion(device.generation))[0]
    module = sources(str(path))[0].load()
    if not any(op.op_name.startswith(("akida1.", "akida2.")) for op in module.body):
        allowed = "a program (.fbz), IR at the level akida1 or akida2, or a model"
        raise fail("MAP-LEVEL", "there are no hardware layers to map", where=str(path), allowed=allowed)
    return module


def place(path: Path, device: str, mode: str, hw_only: bool, passes: int | None) -> Mapping:
    """The mapping of a file's program."""
    target = load_device(device)
    return map_program(program_for(path, target), target, mode, hw_only=hw_only, passes=passes)


def render(mapping: Mapping, explain: bool) -> str:
    """The mapping as text."""
    lines = [str(mapping)]
    for sequence in mapping.sequences:
        for plan in sequence.passes:
            spill = f", {plan.spill_bytes:,} bytes of activations from the passes before" if plan.spill_bytes else ""
            names = f"{plan.layers[0].work.name} to {plan.layers[-1].work.name}" if plan.layers else "nothing"
            holds = f"{plan.nps} NPs, {plan.held_bytes:,} bytes of weights{spill}"
            lines.append(f"  {sequence.name}, pass {plan.index}: {names}; {holds}")
        if not sequence.passes:
            lines.append(f"  {sequence.name}: " + ", ".join(op.op_name for op in sequence.ops))
    if mapping.external_bytes:
        lines.append(f"  {mapping.external_bytes:,} bytes of weights in external memory")
    if mapping.skips:
        lines.append(f"  {len(mapping.skips)} skip DMAs: " + ", ".join(value.name or "?" for value in mapping.skips))
    if explain:
        found = list(advice(mapping))
        lines += ["", table([HEADING, *rows(mapping)])]
        if found:
            lines += ["", *found]
    if mapping.device.confidence in ("low", "assumed"):
        sizes = "the sizes of its memories are not public"
        lines += ["", f"low confidence: how {mapping.device.name} divides layers is assumed; {sizes}"]
    return "\n".join(lines)
