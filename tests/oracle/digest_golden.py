"""Record what Keras computes for the example models on all their images, as hashes.

usage: python digest_golden.py EXAMPLES OUTDIR

Needs an environment with `quantizeml` (see README.md beside this file).  For every quantized model in the folder
EXAMPLES, OUTDIR gets NAME.npz with, for each layer, `LAYER|sha256` of its integers on all images (int64,
little-endian, C order), `LAYER|fb`, `LAYER|vb`, `LAYER|scale` where it has one, and `__output__`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tf_keras as keras
from dump_keras import digest, record


def main(examples: Path, outdir: Path) -> None:
    images = np.load(examples / "mnist_1000.npz")["x"].astype(np.float32)
    for path in sorted(examples.glob("mnist_v[12]_i8*.h5")):
        dump = record(keras.models.load_model(path, compile=False), images)
        kept = {}
        for key, values in dump.items():
            if key.endswith("|v"):
                kept[key.removesuffix("|v") + "|sha256"] = np.array(digest(values))
            elif "|" in key or key == "__output__":
                kept[key] = values
        np.savez_compressed(outdir / f"{path.stem}.npz", **kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
