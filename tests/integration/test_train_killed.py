"""A training process that is killed: what another one makes of its folder."""

import signal
import subprocess
import sys
from pathlib import Path

from small_rlvr import equal_states, lines, run


def test_a_killed_run_resumes_bit_equal(tmp_path):
    script = (
        "import os, sys\nsys.path[:0] = [sys.argv[2]]\nfrom pathlib import Path\nfrom small_rlvr import run\n"
        "run(Path(sys.argv[1]), max_steps=6, save_every_steps=2, zero_variance='resample',"
        f" on_step=lambda row: row['step'] == 5 and os.kill(os.getpid(), {int(signal.SIGKILL)}))"
    )
    tests = str(Path(__file__).parents[1])
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "killed"), tests], check=False)
    assert killed.returncode == -9
    options = dict(max_steps=6, save_every_steps=2, zero_variance="resample")
    resumed, _ = run(tmp_path / "killed", **options)
    whole, _ = run(tmp_path / "whole", **options)
    assert equal_states(resumed, whole)
    compared = [[(row["step"], row["reward"], row["kl"]) for row in lines(tmp_path / n)] for n in ("killed", "whole")]
    assert compared[0] == compared[1]
