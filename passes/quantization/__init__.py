"""Post-training quantization on `nn`: where values are quantized, on which grids, and the weights."""
