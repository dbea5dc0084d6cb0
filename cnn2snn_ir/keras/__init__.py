"""The legacy quantization API on Keras 3: layers, quantizers, and what is done with models made of them.

Only this package imports Keras, so only here does TensorFlow start.  It knows nothing of the compiler but its
diagnostics: models reach the compiler as files.
"""

from cnn2snn_ir.keras.availability import require_keras

require_keras()

from cnn2snn_ir.keras.objects import register  # noqa: E402  (Keras is there now)

register()
