"""`model.statistics`: what the last run costs on the device, in the terms that users of Akida's own runtime know."""

from __future__ import annotations

from dataclasses import dataclass

from cnn2snn_ir.runtime.timing.result import Simulation


@dataclass(frozen=True)
class Statistics:
    """Of the last run of a mapped model: simulated, not measured."""

    simulation: Simulation

    @property
    def fps(self) -> float:
        """Frames a second, the chip alone."""
        return self.simulation.fps

    @property
    def energy(self) -> float | None:
        """Energy of a frame in millijoules, floor included; None where the device has no data."""
        return self.simulation.total_mj

    @property
    def powers(self) -> dict[str, float] | None:
        """Mean power in milliwatts, and its dynamic part; None where the device has no data."""
        power, dynamic = self.simulation.power_mw, self.simulation.dynamic_mj
        if power is None or dynamic is None or not self.simulation.latency_ms:
            return None
        return {"avg": power, "dynamic": 1e3 * dynamic / self.simulation.latency_ms}

    @property
    def inference_clk(self) -> int:
        """Clocks of one frame alone, the mean of the frames."""
        return round(self.simulation.latency_clocks)

    @property
    def program_clk(self) -> int:
        """Clocks of loading the program, once."""
        return round(self.simulation.program_clocks)

    @property
    def inference_frames(self) -> int:
        """Frames of the last run."""
        return self.simulation.frames

    def __str__(self) -> str:
        s = self.simulation
        lines = [
            f"{s.model} on {s.device.name}, {s.mode}: {s.frames} frames, simulated",
            f"  {self.fps:,.2f} frames/s, {s.latency_ms:.3f} ms alone ({self.inference_clk:,} clocks)",
            f"  program: {s.program_bytes:,} bytes, about {self.program_clk:,} clocks to load",
        ]
        powers = self.powers
        if powers is not None and self.energy is not None:
            lines.append(
                f"  {powers['avg']:.1f} mW, of which {powers['dynamic']:.1f} dynamic; {self.energy:.3f} mJ/frame"
            )
        return "\n".join([*lines, *(f"  note: {note}" for note in s.notes)])
