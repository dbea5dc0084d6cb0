"""Runs quantized Keras models for `benchmarks.quantizeml`, in an interpreter that has quantizeml; nothing of ours.

Reads lines of JSON and answers each with one: `{"model": PATH, "samples": PATH}` loads a model and traces it, and tells
the versions; an empty order `{}` is one call.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    """Serve until the input ends."""
    import numpy as np
    import quantizeml  # its layers are Keras's to load from then on
    import tensorflow as tf
    import tf_keras as keras

    threads = int(sys.argv[1])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for line in sys.stdin:
        order = json.loads(line)
        if "model" in order:
            model = keras.models.load_model(order["model"], compile=False)
            function = tf.function(lambda batch, model=model: model(batch, training=False))
            samples = tf.constant(np.load(order["samples"]))
            function(samples)
            answer = {"quantizeml": quantizeml.__version__, "tensorflow": tf.__version__}
        else:
            np.asarray(tf.nest.flatten(function(samples))[0])
            answer = {}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
