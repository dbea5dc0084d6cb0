"""Files are written whole or not at all, and their troubles are diagnostics."""

import os

import pytest

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.files import atomic_write, read_bytes, read_text


def test_write_then_read(tmp_path):
    path = tmp_path / "x.bin"
    atomic_write(path, b"one")
    path.chmod(0o640)
    atomic_write(path, b"two")
    assert read_bytes(path) == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["x.bin"]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.bin"
    atomic_write(path, b"old")

    def broken(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(CompileError, match="No space left"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.bin"]


def test_troubles_are_diagnostics(tmp_path):
    for action in (lambda p: atomic_write(p, b"x"), read_bytes):
        with pytest.raises(CompileError, match="FILE-MISSING"):
            action(tmp_path / "none" / "x.bin")
        with pytest.raises(CompileError, match="FILE-ACCESS"):
            action(tmp_path)
        with pytest.raises(CompileError, match="FILE-ACCESS"):
            action(tmp_path / "nul\0")
    (tmp_path / "latin").write_bytes(b"\xe9")
    with pytest.raises(CompileError, match="FILE-TEXT"):
        read_text(tmp_path / "latin")
