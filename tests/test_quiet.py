"""TensorFlow is quiet about what a learner cannot change, and about nothing else."""

import os
import platform
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("level", "models"), [("", 8), ("0", 1)])
def test_warnings_of_new_models_are_hidden_and_notes_on_request_shown(level, models):
    """Build and ask as many models as a notebook does."""
    code = f"""if True:
        import logging, fashion_cnn as fc, numpy as np
        for _ in range({models}):
            model = fc.build_cnn(filters=(1, 1), dense_units=1)
            model.predict(np.zeros((1, 28, 28, 1)), verbose=0)
        logging.getLogger("tensorflow").warning("anything else")
    """
    environment = os.environ | ({"TF_CPP_MIN_LOG_LEVEL": level} if level else {})
    if not level:
        environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "retracing" not in done.stderr
    # Which notes there are depends on the processor; this one says what it is built for.
    assert ("cpu_feature_guard" in done.stderr) == (level == "0")
    if not level and platform.machine() == "x86_64":
        assert done.stderr == "WARNING:tensorflow:anything else\n"
