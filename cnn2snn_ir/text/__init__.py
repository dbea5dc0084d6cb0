"""The text form: printer, parser, and where large tensors keep their bytes.

Anything printed parses, and anything parsed prints the same.
"""

from cnn2snn_ir.text.parser import parse_module
from cnn2snn_ir.text.printer import FORMAT_VERSION, print_module
from cnn2snn_ir.text.weights import read_weights, write_weights

__all__ = ["FORMAT_VERSION", "parse_module", "print_module", "read_weights", "write_weights"]
