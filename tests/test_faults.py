import sys

import faults
import pytest


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL and no forkserver")
def test_nothing_is_lost_by_kills(tmp_path):
    report = faults.inject(20, tmp_path)
    assert report.kills >= 20
    assert report.kills_in_writes > 0
    assert report.best_files_found > 0
    assert report.states_found > 0
    assert report.holds(), str(report)
