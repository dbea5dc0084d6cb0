"""The fuzzer runs, repeats itself, and notices what readers must not do."""

import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from cnn2snn_ir.diagnostics import CompileError, Diagnostic
from fuzz.command import fuzz, main
from fuzz.contract import judge, random_of
from fuzz.readers import READERS, reader_of


@pytest.mark.parametrize("name", READERS)
def test_a_few_inputs(name):
    summary = fuzz(reader_of(name), seed=7, inputs=150)
    assert summary.inputs == 150
    assert not summary.findings, summary.render()
    assert len(summary.results) > 2, "mutants that all end alike try nothing"


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_inputs(name):
    summary = fuzz(reader_of(name), seed=8, inputs=1500)
    assert not summary.findings, summary.render()
    assert summary.results["ok"] > 10


@pytest.mark.parametrize("name", READERS)
def test_an_input_depends_on_its_number_alone(name):
    reader = reader_of(name)
    first = [reader.make(random_of(name, 3, index)) for index in range(20)]
    assert [reader.make(random_of(name, 3, index)) for index in reversed(range(20))] == first[::-1]
    assert len(set(first)) > 10


class Planted:
    """A reader with a fault that some inputs meet."""

    name, suffix = "planted", ".bin"

    def __init__(self, fault):
        self.fault = fault

    def make(self, random):
        return bytes([random.randrange(4)])

    def read(self, path):
        if path.read_bytes() == b"\2":
            self.fault()
        raise CompileError(Diagnostic("FILE-FORMAT", "no such file"))


def recurse():
    recurse()


FAULTS = {
    "exception": (lambda: {}["x"], "!KeyError at"),
    "recursion": (recurse, "!RecursionError at"),
    "crash": (lambda: os.kill(os.getpid(), signal.SIGSEGV), "!worker: signal 11"),
    "exit": (lambda: os._exit(3), "!worker: exit"),
    "warning": (lambda: warnings.warn("old", DeprecationWarning, stacklevel=1), "!DeprecationWarning at"),
    "stderr": (lambda: os.write(2, b"H5 says no"), "!stderr: H5 says no"),
    "print": (lambda: print("hello", file=sys.__stderr__, flush=True), "!stderr: hello"),
    "allocation": (lambda: np.ones(1 << 28), "!MemoryError at"),
    "hidden surrogate": (lambda: fail_with("\ud800" * 3000 + "x"), "FILE-FORMAT"),
    "internal": (lambda: fail_with("", "INTERNAL"), "!INTERNAL"),
}


def fail_with(found, code="FILE-FORMAT"):
    raise CompileError(Diagnostic(code, "wrong", found=found))


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_are_found(name):
    fault, signature = FAULTS[name]
    summary = fuzz(Planted(fault), seed=0, inputs=40)
    assert summary.inputs == 40
    assert any(result.startswith(signature) for result in summary.results), summary.render()
    hit = sum(Planted(None).make(random_of("planted", 0, index)) == b"\2" for index in range(40))
    assert sum(count for result, count in summary.results.items() if result.startswith(signature)) >= hit


def test_a_hang_is_found(monkeypatch, tmp_path):
    monkeypatch.setattr("fuzz.contract.SECONDS", 0.05)
    (tmp_path / "x").write_bytes(b"\2")
    outcome = judge(Planted(lambda: time.sleep(60)), tmp_path / "x")
    assert outcome.result.startswith("!TooSlow")


def test_a_hang_in_a_library_is_found(monkeypatch):
    monkeypatch.setattr("fuzz.worker.PATIENCE", 0.2)
    deaf = Planted(lambda: (signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM}), time.sleep(60)))
    assert fuzz(deaf, seed=0, inputs=5).results["!worker: hang"] >= 1


READER_FAULTS = {
    "h5": "cnn2snn_ir.frontends.keras_h5.importer.fill_tables",
    "onnx": "cnn2snn_ir.frontends.onnx.file.order_faults",
    "fbz": "cnn2snn_ir.backends.program.unpack._width",
    "device": "cnn2snn_ir.device.files.value_fault",
    "samples": "cnn2snn_ir.array_files.ArrayStream.array",
    "c2s": "cnn2snn_ir.text.literals.unquote",
    "pipeline": "cnn2snn_ir.passes.pipeline_parser._option",
}
"""A function of each reader."""


@pytest.mark.parametrize("name", READER_FAULTS)
def test_a_fault_planted_in_a_reader_is_found(name, monkeypatch):
    def faulty(*arguments, **options):
        raise AttributeError("planted")

    monkeypatch.setattr(READER_FAULTS[name], faulty)
    summary = fuzz(reader_of(name), seed=0, inputs=150)
    assert any("AttributeError at" in result for result in summary.findings), summary.render()


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "table.json"
    assert main(["--readers", "pipeline", "--inputs", "30", "--seed", "5", "--json", str(table)]) == 0
    counts = json.loads(table.read_text())["pipeline"]
    assert counts["inputs"] == 30 == counts["accepted"] + sum(counts["codes"].values())
    assert main(["--readers", "pipeline", "--only", "12", "--seed", "5"]) == 0
    assert (tmp_path / "pipeline-5-12.txt").read_bytes() == reader_of("pipeline").make(random_of("pipeline", 5, 12))
    assert "FINDING" not in capsys.readouterr().out


def test_findings_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("fuzz.command.reader_of", lambda _: Planted(lambda: 1 // 0))
    assert main(["--readers", "pipeline", "--inputs", "30", "--findings", str(tmp_path / "kept")]) == 1
    (file,) = Path(tmp_path / "kept").glob("*.bin")
    assert file.read_bytes() == b"\2"
    assert "ZeroDivisionError" in file.with_suffix(".txt").read_text()
