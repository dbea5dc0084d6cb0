"""The text form: printer, parser, and where large tensors keep their bytes.

Anything printed parses, and anything parsed prints the same.  The parser is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnn2snn_ir.text.printer import FORMAT_VERSION, print_module
from cnn2snn_ir.text.weights import read_weights, weights_beside, write_weights

if TYPE_CHECKING:
    from cnn2snn_ir.text.parser import parse_module

__all__ = ["FORMAT_VERSION", "parse_module", "print_module", "read_weights", "weights_beside", "write_weights"]


def __getattr__(name: str) -> Any:
    if name != "parse_module":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cnn2snn_ir.text.parser import parse_module

    return parse_module
