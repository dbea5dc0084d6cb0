"""The text form: printer, parser, and where large tensors keep their bytes."""
