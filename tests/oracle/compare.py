"""Compare every intermediate integer of recorded models with ours, at two levels.

usage: python compare.py DIR [v1]

DIR holds NAME.h5 and NAME.npz, as `make_models.py` writes them, or NAME.onnx and NAME.npz of `make_onnx.py`.  Runs in
the project's own environment.  Prints a line a model; the exit code is 1 if any integer differs that should not.  With
`v1` programs are made for Akida 1, and each of their layers may differ by what it says.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from generators.recorded import Recorded, RecordedOnnx

from cnn2snn_ir.api import compile_model
from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.reference import run_all
from cnn2snn_ir.runtime.model import Model
from cnn2snn_ir.runtime.statements import beyond_statement

EXPECTED_TO_DIFFER = "ties"
"""Models of this architecture are made so that float32 carriers round."""


def verdict(recorded: Recorded, values: Mapping[str, Any]) -> tuple[str, list[str]]:
    """How many layers were compared, and which differ."""
    compared = [name for name in recorded.layers if name in values]
    return f"{len(compared)}/{len(recorded.layers)} layers", recorded.differing(values)


def compare(recorded: Recorded) -> tuple[list[str], list[str]]:
    """What was compared at each level, and the layers that differ."""
    module, memory = load_model(recorded.model), {}
    seen, wrong = verdict(recorded, recorded.calls(lambda x: run_all(module, x, memory)))
    said = [f"qnn {seen}"]
    try:
        program = Model(compile_model(recorded.model, allow_float_tail=True)[0])
    except CompileError as error:
        return [*said, f"program refused: {error.diagnostics[0].code}"], wrong
    memory = {}
    seen, also = verdict(recorded, recorded.calls(lambda x: program.intermediates(x, memory=memory)))
    return [*said, f"program {seen}"], [*wrong, *also]


def compare_neurons(recorded: Recorded) -> tuple[list[str], list[str]]:
    """The same for Akida 1."""
    values = run_all(load_model(recorded.model), recorded.data["x"])
    seen, wrong = verdict(recorded, values)
    program, _ = compile_model(recorded.model, target="v1")
    return [f"qnn {seen}", "program as stated"], [*wrong, *beyond_statement(program, values, recorded.data["x"])]


def recording(record: Path) -> Recorded:
    """A record with its model beside it."""
    model = record.with_suffix(".onnx")
    return RecordedOnnx(model, record) if model.exists() else Recorded(record.with_suffix(".h5"), record)


def main(folder: Path, target: str = "v2") -> int:
    """Compare all; returns the exit code."""
    failed = 0
    for record in sorted(folder.glob("*.npz")):
        recorded = recording(record)
        said, wrong = compare_neurons(recorded) if target == "v1" else compare(recorded)
        excused = record.stem.startswith(EXPECTED_TO_DIFFER)
        failed += bool(wrong) and not excused
        found = f"DIFFERENT: {', '.join(wrong)}" + (" (as it should)" if excused else "") if wrong else "equal"
        print(f"{record.stem:40s} {', '.join(said):48s} {found}")
    print("all equal" if not failed else f"{failed} models differ")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), *sys.argv[2:]))
