"""Nothing about the machine is shown, and nothing else is hidden."""

import os
import subprocess
import sys
import textwrap

import pytest

from fashion_cnn.quiet import LOG_LEVEL_VARIABLE, without_machine_notes


def standard_error_of(code, **variables):
    environment = {name: value for name, value in os.environ.items() if name != LOG_LEVEL_VARIABLE}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment | variables,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        check=True,
    ).stderr


@pytest.mark.slow
def test_whoever_imports_the_package_first_sees_no_notes():
    """Build a dozen models, as Run All twice does, and draw one with Graphviz."""
    code = """
        import fashion_cnn as fc
        import tensorflow as tf
        import numpy as np
        for _ in range(12):
            model = fc.build_cnn(filters=(1, 1), dense_units=1)
            fc.predict(model, np.eye(28), warn=False)
        fc.plot_model(model)
    """
    assert standard_error_of(code) == ""


@pytest.mark.slow
def test_whoever_wants_the_notes_gets_them():
    code = "import fashion_cnn, tensorflow as tf; tf.constant(1)"
    # Which notes there are depends on the processor; this one says what it is built for.
    assert "cpu_feature_guard" in standard_error_of(code, **{LOG_LEVEL_VARIABLE: "0"})


def test_only_the_notes_are_held_back(capfd):
    with without_machine_notes():
        os.write(2, b"I0000 00:00:17 port.cc:153] oneDNN custom operations are on.\nan error\n")
        os.write(2, b"Fontconfig error: Cannot load default config file\nand its cause\n")
    assert capfd.readouterr().err == "an error\nand its cause\n"


def test_what_was_written_before_an_exception_is_shown(capfd):
    def fail():
        with without_machine_notes():
            os.write(2, b"a hint\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert capfd.readouterr().err == "a hint\n"


def test_nothing_breaks_where_standard_error_is_closed():
    code = """
        import os, sys
        os.close(2)
        from fashion_cnn.quiet import without_machine_notes
        with without_machine_notes():
            print("fine")
    """
    assert standard_error_of(code) == ""
