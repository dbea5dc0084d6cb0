"""cnn2snn-ir: a compiler from quantized CNNs to BrainChip Akida programs, and a simulator that runs them."""
