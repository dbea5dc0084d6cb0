"""The distribution: every folder with code is listed, nothing else is, and imports point one way."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
MAPPED = {folder: package for package, folder in SETUPTOOLS["package-dir"].items()}

LAYERS = {
    "cnn2snn_ir": 0,
    "cnn2snn_ir.passes": 1,
    "cnn2snn_ir.frontends": 2,
    "cnn2snn_ir.backends": 2,
    "cnn2snn_ir.runtime": 3,
    "cnn2snn_ir.tools": 4,
}
"""Imports point from a higher number to a lower one; the runtime reads programs."""

PUBLIC_FACE = {"cnn2snn_ir/__init__.py", "cnn2snn_ir/__main__.py", "cnn2snn_ir/api.py", "cnn2snn_ir/post_training.py"}
"""Files that stand above all layers: they hand out what the layers make."""


def sources():
    """Every Python file of the distribution with the package that it belongs to."""
    for folder in ("cnn2snn_ir", *MAPPED):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).parent.parts
            top = MAPPED.get(parts[0], parts[0])
            yield path, ".".join((top, *parts[1:]))


def layer_of(module):
    """The layer of a module of ours, or None."""
    if not module.startswith("cnn2snn_ir"):
        return None
    fits = [name for name in LAYERS if module == name or module.startswith(name + ".")]
    return LAYERS[max(fits, key=len)]


def imports(path):
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names if module == "cnn2snn_ir")


def test_every_package_is_listed():
    found = {package for _, package in sources()}
    assert sorted(found) == sorted(SETUPTOOLS["packages"])
    for path, _ in sources():
        assert (path.parent / "__init__.py").is_file(), path.parent


def test_data_files_are_listed():
    data = SETUPTOOLS["package-data"]
    for folder in ("cnn2snn_ir", *MAPPED):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".lark", ".fbs", ".typed", ".txt", ".html", ".css", ".js"):
                home = next(above for above in path.parents if (above / "__init__.py").is_file())
                package = ".".join((MAPPED.get(folder, folder), *home.relative_to(ROOT / folder).parts))
                assert any(path.match(f"{home}/{pattern}") for pattern in data[package]), path


@pytest.mark.parametrize("path", [p for p, _ in sources()], ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    relative = str(path.relative_to(ROOT))
    if relative in PUBLIC_FACE:
        return
    package = next(package for p, package in sources() if p == path)
    mine = layer_of(package)
    for module in imports(path):
        theirs = layer_of(module)
        assert theirs is None or theirs <= mine, f"{relative} imports {module}"
        if theirs == mine and mine == 2:  # frontends and backends do not know each other
            assert module.split(".")[1] == package.split(".")[1], f"{relative} imports {module}"


def test_keras_stands_apart():
    """What trains models and what compiles them meet in files: they share diagnostics, and only one imports Keras."""
    for path, package in sources():
        modules = set(imports(path))
        if package.startswith("cnn2snn_ir.keras"):
            ours = {m for m in modules if m.startswith("cnn2snn_ir") and not m.startswith("cnn2snn_ir.keras")}
            assert ours <= {"cnn2snn_ir.diagnostics"}, path
        else:
            assert not {"keras", "tensorflow"} & {m.partition(".")[0] for m in modules}, path


def test_files_are_of_readable_size():
    for path, _ in sources():
        assert len(path.read_text().splitlines()) < 700, path


def test_no_proprietary_import():
    for path, _ in sources():
        assert not {"akida", "cnn2snn", "quantizeml"} & {m.partition(".")[0] for m in imports(path)}


BENCHMARKS = ("compiler", "engine", "events", "kernels", "memory", "quantizeml", "simulation", "startup")
"""Those that take options."""


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_begins(name):
    """A command that a document names has to run."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-1000:]
    assert "usage:" in done.stdout
