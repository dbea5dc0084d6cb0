"""Float originals: how they are run, and how far from them a quantized model is."""
