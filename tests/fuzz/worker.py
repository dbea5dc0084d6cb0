"""Runs inputs in a process of its own, which may be killed by what it reads; its parent notes what it was."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import signal
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from fuzz.contract import MEMORY, SECONDS, Outcome, Reader, judge, random_of, signature

CHUNK = 4000
"""Inputs of one process: what one leaks must not add up."""

PATIENCE = 2 * SECONDS + 5
"""Seconds without a word from a worker, after which it hangs in a library, where no signal handler can run."""


def run(reader: Reader, seed: int, first: int, count: int, folder: Path) -> Iterator[Outcome]:
    """The outcomes of `count` inputs from number `first` on; a worker that dies is an outcome."""
    index, end = first, first + count
    while index < end:
        for outcome in chunk(reader, seed, index, min(index + CHUNK, end), folder):
            yield outcome
            index = outcome.index + 1


def chunk(reader: Reader, seed: int, first: int, end: int, folder: Path) -> Iterator[Outcome]:
    """The outcomes of the inputs of one process, up to the one that kills it."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(receive)
            work(reader, seed, range(first, end), folder, send)
            code = 0
        finally:
            os._exit(code)
    os.close(send)
    next_index, hung = first, False
    with os.fdopen(receive, "rb") as stream:
        while True:
            ready, _, _ = select.select([stream], [], [], PATIENCE)
            if not ready:
                hung = True
                os.kill(child, signal.SIGKILL)
            line = stream.readline()
            if not line.endswith(b"\n"):
                break
            outcome = Outcome(*json.loads(line))
            next_index = outcome.index + 1
            yield outcome
    _, status = os.waitpid(child, 0)
    if next_index < end:
        how = "hang" if hung else f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "exit"
        yield Outcome(next_index, f"!worker: {how}", float(PATIENCE) if hung else 0.0, 0)


def work(reader: Reader, seed: int, indices: range, folder: Path, send: int) -> None:
    """In the worker: read the inputs, write a line for each."""
    faulthandler.disable()  # the parent tells of a crash
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = virtual_memory() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    path = folder / f"input-{os.getpid()}{reader.suffix}"
    with tempfile.TemporaryFile(dir=folder) as said:
        os.dup2(said.fileno(), 2)
        os.dup2(said.fileno(), 1)
        for index in indices:
            try:
                path.write_bytes(reader.make(random_of(reader.name, seed, index)))
            except Exception as error:  # a fault of the fuzzer, which must not pass for one of the reader
                outcome = Outcome(index, f"!no input: {signature(error)}", 0.0, 0, traceback.format_exc())
            else:
                outcome = judge(reader, path, index, said.fileno())
            if not outcome.is_finding:
                outcome = outcome._replace(details="")
            os.write(send, json.dumps(outcome).encode() + b"\n")
    path.unlink()


def virtual_memory() -> int:
    """Bytes of address space of this process."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
