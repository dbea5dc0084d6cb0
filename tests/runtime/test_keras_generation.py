"""Which generation of Keras is asked to load a float file."""

import json
import zipfile

import h5py
import pytest

from cnn2snn_ir.runtime.floats.keras_model import generation


@pytest.mark.parametrize(
    ("version", "found"), [("3.4.1", 3), (b"3.11.0", 3), ("2.15.0", 2), (b"2.2.4-tf", 2), (None, 2)]
)
def test_an_hdf5_file_says_which(tmp_path, version, found):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        if version is not None:
            file.attrs["keras_version"] = version
    assert generation(path) == found


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"metadata.json": json.dumps({"keras_version": "3.4.1"})}, 3),
        ({"metadata.json": json.dumps({"keras_version": "2.15.0"})}, 2),
        ({}, 3),
    ],
)
def test_an_archive_says_which(tmp_path, members, found):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    assert generation(path) == found
