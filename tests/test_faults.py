import sys

import faults
import pytest


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL and no forkserver")
def test_nothing_is_lost_by_kills(tmp_path):
    seen = faults.inject(12, tmp_path)
    assert seen["kills"] == 12
    assert len(seen) == 5  # kills in a write, both files, and whole runs were among them
    assert all(seen.values())
