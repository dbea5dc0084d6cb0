"""Threads and processes: what many do at once is what one does after the other."""

import copy
import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from generators.recorded import EXAMPLES, FIXTURES
from generators.streams import FRAMES, streaming_program

from cnn2snn_ir import AkidaVersion, Model, convert, get_akida_version, set_akida_version
from cnn2snn_ir.backends.program import dumps
from cnn2snn_ir.reference import interpreter
from cnn2snn_ir.runtime.engine import Engine
from cnn2snn_ir.text import parse_module, print_module

ROOT = Path(__file__).parents[2]
KWS = FIXTURES / "quantizeml" / "kws_i8_w8_a8.h5"
MNIST = EXAMPLES / "mnist_v2_i8_w8_a8.h5"
BACKENDS = ["numpy", "numba"]


@cache
def program(path=MNIST):
    return convert(path).module


def samples(module, count, seed=0):
    (op,) = module.inputs
    return np.random.default_rng(seed).integers(0, 256, (count, *op.shape)).astype(op.element.dtype)


def at_once(jobs, workers=8):
    """The results of functions that start together in so many threads."""
    gate = threading.Barrier(min(workers, len(jobs)))

    def run(number, job):
        if number < workers:
            gate.wait()
        return job()

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(run, number, job) for number, job in enumerate(jobs)]
        return [future.result(timeout=120) for future in futures]


# ---- one model, many threads ----------------------------------------------------------------------------------------


def questions(model, seed):
    """What a thread may ask a model, with inputs and sizes of its own."""
    x = samples(model.module, 1 + 13 * (seed % 4), seed)
    size = [None, 1, 7][seed % 3]
    values = [layer.op.results[0] for layer in model.layers]
    yield lambda: model.forward(x, size)
    yield lambda: model.predict(x, size)
    yield lambda: np.array(model.evaluate(x, np.arange(len(x)) % 10, size))
    yield lambda: np.concatenate([v.ravel() for v in model.engine.run_values(x, values, size)])
    yield lambda: np.array([model.simulate(x, batch_size=size).latency_clocks])


def stress(backend, seconds):
    model = Model(program(), backend=backend, threads=2)
    model.map("Akida2FPGA")
    asked = [question for seed in range(8) for question in questions(model, seed)]
    cold = at_once(asked)  # the first of them compile
    expected = [question() for question in asked]
    end = time.monotonic() + seconds
    for found in [cold, *iter(lambda: at_once(asked[::-1])[::-1] if time.monotonic() < end else None, None)]:
        for one, other in zip(found, expected, strict=True):
            assert np.array_equal(one, other)
    x = samples(model.module, 9)
    assert np.array_equal(model.predict(x), interpreter.run(model.module, x)[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_threads_ask_one_model(backend):
    stress(backend, 1)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_many_threads_ask_one_model_for_long(backend):
    stress(backend, 40)


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_sizes_and_kernels_make_no_difference(backend):
    for path in (MNIST, KWS):
        module = program(path)
        x = samples(module, 23)
        expected = interpreter.run(module, x)[0]
        for threads in (1, 2, 3, 7):
            engine = Engine(module, backend, threads)
            for size in (1, 7, None):
                assert np.array_equal(engine.run(x, size)[0], expected)


def test_an_error_ends_the_work_of_all_threads(monkeypatch):
    engine = Engine(program(), "numpy", threads=2)
    begun = []

    def broken(*arguments):
        begun.append(arguments[-2:])
        raise ZeroDivisionError

    monkeypatch.setattr(engine, "_run_chunk", broken)
    with pytest.raises(ZeroDivisionError):
        engine.run(samples(program(), 200), 1)
    assert len(begun) <= 4


# ---- streams --------------------------------------------------------------------------------------------------------


def test_every_thread_has_its_own_streams():
    """Memory given by the caller belongs to its streams, whatever other threads run in between."""
    model = Model(streaming_program(), threads=2)

    def follow(shift):
        memory = {}
        return np.stack([model.predict(np.roll(frame, shift, axis=1), memory=memory) for frame in FRAMES])

    expected = [follow(shift) for shift in range(8)]
    for _ in range(3):
        found = at_once([lambda shift=shift: follow(shift) for shift in range(8)])
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert not model._memory


def test_the_streams_of_the_model_take_one_frame_after_the_other():
    """Without memory of their own all threads feed the same streams: equal frames make the order unimportant."""
    model = Model(streaming_program(), threads=2)
    expected = [model.predict(FRAMES[0]) for _ in range(16)]
    model.reset()
    found = at_once([lambda: model.predict(FRAMES[0])] * 16)
    key = lambda array: array.tobytes()  # noqa: E731
    assert sorted(map(key, found)) == sorted(map(key, expected))


# ---- compiling ------------------------------------------------------------------------------------------------------


def test_many_threads_compile():
    paths = [MNIST, KWS, EXAMPLES / "mnist_legacy_iq8_wq2_aq2.h5", FIXTURES / "onnx" / "cnn_u8.onnx"]
    expected = [dumps(convert(path).module) for path in paths]
    found = at_once([lambda path=path: dumps(convert(path).module) for path in paths * 3])
    assert found == expected * 3


def test_many_threads_print_and_parse():
    text = print_module(program(KWS), weights="inline")
    assert set(at_once([lambda: print_module(parse_module(text), weights="inline")] * 12)) == {text}


COLD = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import cnn2snn_ir
gate = threading.Barrier(6)
def work(path):
    gate.wait()
    model = cnn2snn_ir.convert(path)
    x = np.ones((3, *model.input_shape), model.module.inputs[0].element.dtype)
    return model.predict(x).tobytes().hex()
with ThreadPoolExecutor(6) as pool:
    print(*pool.map(work, sys.argv[1:] * 2))
"""


@pytest.mark.slow
def test_cold_processes_compile_and_run_at_once(tmp_path):
    """Imports, tables and numba's empty cache meet many threads of two processes at once."""
    paths = [str(MNIST), str(KWS), str(FIXTURES / "onnx" / "cnn_u8.onnx")]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    line = [sys.executable, "-c", COLD, *paths]
    several = [subprocess.Popen(line, stdout=subprocess.PIPE, env=environment, cwd=ROOT) for _ in range(2)]
    found = [process.communicate(timeout=300)[0].decode().split() for process in several]
    assert all(process.returncode == 0 for process in several)
    models = [convert(path) for path in paths]
    ones = [np.ones((3, *model.input_shape), model.module.inputs[0].element.dtype) for model in models]
    expected = [model.predict(x).tobytes().hex() for model, x in zip(models, ones, strict=True)]
    assert found == [expected * 2] * 2


def test_the_version_in_force_is_that_of_the_thread():
    inside = threading.Event()
    done = threading.Event()

    def other():
        with set_akida_version("v1"):
            inside.set()
            done.wait(10)
            return get_akida_version()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(other)
        inside.wait(10)
        assert get_akida_version() is AkidaVersion.v2
        with set_akida_version("v2"):
            done.set()
            assert future.result() is AkidaVersion.v1
        assert pool.submit(get_akida_version).result() is AkidaVersion.v2  # the thread is as it was


def test_the_version_in_force_is_that_of_the_task():
    import asyncio

    async def one(version):
        with set_akida_version(version):
            await asyncio.sleep(0.01)
            return get_akida_version()

    async def both():
        return await asyncio.gather(one("v1"), one("v2"), one("v1"))

    assert asyncio.run(both()) == ["v1", "v2", "v1"]


# ---- processes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, copy.copy])
def test_a_model_can_be_pickled_and_copied(again):
    model = Model(program(), backend="numpy", threads=3)
    x = samples(model.module, 5)
    expected = model.predict(x)
    model.map("Akida2FPGA", "minimal")
    other = again(model)
    assert np.array_equal(other.predict(x), expected)
    assert (other.engine.backend.name, other.engine.threads) == ("numpy", 3)
    assert other.mapping.nps == model.mapping.nps
    assert dumps(other.module) == dumps(model.module)


def test_a_pickled_stream_goes_on():
    model = Model(streaming_program())
    model.predict(FRAMES[0])
    other = pickle.loads(pickle.dumps(model))
    assert np.array_equal(other.predict(FRAMES[1]), model.predict(FRAMES[1]))
    with pytest.raises(TypeError, match="pickle its Model"):
        pickle.dumps(model.engine)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_processes_of_multiprocessing(method, monkeypatch):
    """Forked after the threads of the engine have worked, with none of them in the child; or begun anew."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")
    model = Model(program(), threads=2)
    x = samples(model.module, 100)
    expected = model.predict(x, 5)
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.starmap_async(Model.predict, [(model, x, 5)] * 4).get(timeout=120)
    assert all(np.array_equal(one, expected) for one in found)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fork_while_threads_run(backend):
    model = Model(program(), backend=backend, threads=2)
    x = samples(model.module, 60)
    expected = model.predict(x, 5)
    stop = threading.Event()

    def forever():
        while not stop.is_set():
            model.predict(x, 5)

    threads = [threading.Thread(target=forever) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(6):
            child = os.fork()
            if child == 0:
                try:
                    code = 0 if np.array_equal(model.predict(x, 5), expected) else 3
                finally:
                    os._exit(code)
            assert ended(child, 30) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def ended(child, seconds):
    """The exit code of a child, which is killed if it hangs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "hangs"


EXIT = """
import sys, threading, time
import numpy as np
from cnn2snn_ir import convert
model = convert(sys.argv[1])
x = np.ones((200, *model.input_shape), np.float32)
model.predict(x, 1)
def forever():
    while True:
        model.predict(x, 1)
for _ in range(4):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.3)
"""


def test_the_interpreter_ends_while_threads_run():
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", EXIT, MNIST], capture_output=True, cwd=ROOT, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")


# ---- what is dropped is gone ----------------------------------------------------------------------------------------


def memory_in_use():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("backend", BACKENDS)
def test_engines_that_are_dropped_leave_nothing(backend):
    module = program()
    x = samples(module, 20)

    def once():
        Engine(module, backend, threads=3).run(x, 2)

    for _ in range(5):
        once()
    gc.collect()
    threads, before = threading.active_count(), memory_in_use()
    for _ in range(30):
        once()
    gc.collect()
    end = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < end:
        time.sleep(0.01)  # a thread ends when it sees that its engine is gone
    assert threading.active_count() <= threads
    workspace = sum(layout.sample_bytes for layout in Engine(module, backend).layouts.values()) * 64
    assert memory_in_use() - before < 10 * workspace + (8 << 20)
