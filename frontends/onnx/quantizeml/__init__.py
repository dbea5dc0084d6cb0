"""QuantizeML's own ONNX operators: their names, what their functions must compute, and what they become."""
