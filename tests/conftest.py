"""Collects `tests/filecheck/**/*.c2s` as LLVM does, but runs the tools in this process: 7 ms a test, not 300.

    // RUN: cnn2snn-opt %s --pass-pipeline='canonicalize' | filecheck %s
    // RUN: not cnn2snn-opt %s --verify-roundtrip 2>&1 | filecheck %s --check-prefix=ERROR

A RUN line is a pipe of `cnn2snn-opt` and `filecheck`; `not` turns an exit code around, `2>&1` joins the streams,
`%s` is the file and `%t` a temporary name.  Anything else is refused.
"""

import contextlib
import io
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from cnn2snn_ir.tools import opt

RUN = re.compile(r"^//\s*RUN:\s*(.*)$", re.MULTILINE)


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="rewrite the expected text of tests/passes/golden")


def pytest_collect_file(parent, file_path):
    if file_path.suffix == ".c2s" and "filecheck" in file_path.parts:
        return CheckFile.from_parent(parent, path=file_path)
    return None


class CheckFile(pytest.File):
    def collect(self):
        lines = RUN.findall(self.path.read_text().replace("\\\n//", " "))
        if not lines:
            yield CheckItem.from_parent(self, name="no RUN line", line="")
        for number, line in enumerate(lines):
            yield CheckItem.from_parent(self, name=f"run{number}", line=line)


class RunFailed(Exception):
    pass


class CheckItem(pytest.Item):
    def __init__(self, *, line, **kwargs):
        super().__init__(**kwargs)
        self.line = line

    def runtest(self):
        stem = self.config.cache.mkdir("filecheck") / f"{self.path.stem}.{self.name}"
        run_line(self.line, self.path, stem)

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, RunFailed):
            return f"RUN: {self.line}\n{excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, 0, f"{self.path.name}: {self.line}"


@dataclass
class Command:
    tool: str
    arguments: list[str]
    negated: bool
    joined: bool


def parse_line(line: str, source: Path, temporary: Path) -> list[Command]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;<>&")
    lexer.whitespace_split = True
    commands = [[]]
    for word in lexer:
        if word == "|":
            commands.append([])
        else:
            commands[-1].append(word.replace("%s", str(source)).replace("%t", str(temporary)))
    return [parse_command(words, line) for words in commands]


def parse_command(words: list[str], line: str) -> Command:
    joined = words[-3:] == ["2", ">&", "1"]
    words = words[:-3] if joined else words
    negated = words[:1] == ["not"]
    words = words[1:] if negated else words
    strange = [w for w in words[1:] if set(w) <= set("|;<>&")]
    if not words or words[0] not in ("cnn2snn-opt", "filecheck") or strange:
        raise RunFailed(f"this RUN line is not in the subset that tests/conftest.py runs: {line!r}")
    return Command(words[0], words[1:], negated, joined)


def run_line(line: str, source: Path, temporary: Path) -> None:
    stream = ""
    for command in parse_line(line, source, temporary):
        code, stream, errors = run_command(command, stream)
        if (code != 0) is not command.negated:
            expected = "failure" if command.negated else "success"
            raise RunFailed(f"{command.tool} gave {code}, not {expected}\n{stream}\n{errors}")


def run_command(command: Command, stdin: str) -> tuple[int, str, str]:
    out = io.StringIO()
    err = out if command.joined else io.StringIO()
    saved, sys.stdin = sys.stdin, io.StringIO(stdin)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = opt.main(command.arguments) if command.tool == "cnn2snn-opt" else run_filecheck(command.arguments)
    finally:
        sys.stdin = saved
    return code, out.getvalue(), err.getvalue()


def run_filecheck(arguments: list[str]) -> int:
    from filecheck.main import main

    try:
        main(["filecheck", *arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0
