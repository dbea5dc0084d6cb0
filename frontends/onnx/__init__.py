"""ONNX files: read with distrust (`file`, `tensors`), seen as plain data (`graph`), imported by what they hold."""
