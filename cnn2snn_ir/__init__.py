"""cnn2snn-ir: a compiler from quantized CNNs to BrainChip Akida programs, and a simulator that runs them.

    import cnn2snn_ir

    model = cnn2snn_ir.convert("model_i8_w8_a8.h5")
    logits = model.predict(images)
    model.save("model.fbz")

The names below are imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn2snn_ir.version import __version__

if TYPE_CHECKING:
    from cnn2snn_ir.api import convert, load
    from cnn2snn_ir.diagnostics import CompileError
    from cnn2snn_ir.runtime.model import Model
    from cnn2snn_ir.versions import AkidaVersion, get_akida_version, set_akida_version

__all__ = [
    "AkidaVersion",
    "CompileError",
    "Model",
    "__version__",
    "convert",
    "get_akida_version",
    "load",
    "set_akida_version",
]

# In a checkout the sub-packages lie beside this folder.  Python started there finds this folder before an
# installed package, so it must find them too.
_CHECKOUT = Path(__file__).parent.parent
if (_CHECKOUT / "pyproject.toml").is_file():
    __path__.append(str(_CHECKOUT))

_HOMES = {
    "convert": "cnn2snn_ir.api",
    "load": "cnn2snn_ir.api",
    "CompileError": "cnn2snn_ir.diagnostics",
    "Model": "cnn2snn_ir.runtime.model",
    "AkidaVersion": "cnn2snn_ir.versions",
    "get_akida_version": "cnn2snn_ir.versions",
    "set_akida_version": "cnn2snn_ir.versions",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
