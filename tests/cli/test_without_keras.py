"""The package without Keras: nothing imports it unasked, and what needs it says what to install."""

import subprocess
import sys

import pytest
from generators.recorded import EXAMPLES

import cnn2snn_ir

NEEDS_KERAS = sorted(name for name, home in cnn2snn_ir._HOMES.items() if home.startswith("cnn2snn_ir.keras"))

BLOCKED = "import sys; sys.modules['keras'] = None\n"
"""Importing Keras now fails as if it were not installed."""


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_the_package_imports_no_framework():
    code = "import sys, cnn2snn_ir, cnn2snn_ir.api, cnn2snn_ir.tools.cnn2snn\n"
    code += "print({'tensorflow', 'keras', 'tf_keras', 'numpy'} & {m.partition('.')[0] for m in sys.modules})"
    assert python(code).stdout == "set()\n"


def test_converting_imports_no_framework(tmp_path):
    code = BLOCKED + "import cnn2snn_ir.tools.cnn2snn as c\n"
    code += f"sys.exit(c.main(['convert', '-m', {str(EXAMPLES / 'mnist_v2_i8_w8_a8.h5')!r}, '-o', {str(tmp_path)!r}]))"
    assert python(code).returncode == 0


def test_there_are_names_that_need_keras():
    assert {"quantize", "load_quantized_model", "QuantizedConv2D", "MaxQuantizer"} <= set(NEEDS_KERAS)


def test_every_name_says_what_to_install():
    code = BLOCKED + "import cnn2snn_ir\n"
    code += f"for name in {NEEDS_KERAS}:\n"
    code += "    try: getattr(cnn2snn_ir, name)\n"
    code += "    except ImportError as error: print(\"pip install 'cnn2snn-ir[keras]'\" in str(error))\n"
    run = python(code)
    assert run.stdout == "True\n" * len(NEEDS_KERAS), run.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "from cnn2snn_ir import quantize",
        "from cnn2snn_ir.quantization_ops import MaxQuantizer",
        "from cnn2snn_ir.quantization_layers import QuantizedReLU",
        "from cnn2snn_ir.quantization import quantize",
        "from cnn2snn_ir.min_value_constraint import MinValueConstraint",
        "from cnn2snn_ir.transforms import sequentialize",
        "from cnn2snn_ir.calibration import adaround",
        "from cnn2snn_ir.compatibility_checks import check_model_compatibility",
        "import cnn2snn_ir; cnn2snn_ir.transforms",
    ],
)
def test_the_last_words_are_help(statement):
    run = python(BLOCKED + statement)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == "    help: pip install 'cnn2snn-ir[keras]'"


def test_an_older_keras_is_refused():
    code = "import sys, types; sys.modules['keras'] = old = types.ModuleType('keras'); old.__version__ = '2.15.0'\n"
    run = python(code + "import cnn2snn_ir.keras")
    assert "found: keras 2.15.0" in run.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["quantize"],
        ["reshape", "-iw", "160", "-ih", "96"],
        ["calibrate", "bc", "-sa", str(EXAMPLES / "mnist_1000.npz")],
        ["calibrate", "adaround", "-sa", str(EXAMPLES / "mnist_1000.npz")],
    ],
)
def test_the_command_says_what_to_install(command):
    code = BLOCKED + "import cnn2snn_ir.tools.cnn2snn as c\n"
    code += f"sys.exit(c.main({[*command, '-m', str(EXAMPLES / 'mnist_legacy_iq8_wq4_aq4.h5')]!r}))"
    run = python(code)
    assert (run.returncode, run.stdout) == (1, "")
    assert "QUANT-LIBRARY" in run.stderr
    assert "Traceback" not in run.stderr
