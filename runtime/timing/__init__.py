"""The NPU timing model: what a placed program costs in clocks and in energy, fed with the events of a real run."""
