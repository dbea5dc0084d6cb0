"""Standard ONNX models as `nn` modules: float networks, and those with QDQ pairs, QLinear operators or QONNX's Quant.

`importer` walks the nodes; `table` says which function imports which operator; `view` keeps the order of dimensions;
`constants` computes what does not depend on the input.
"""
