"""The API fuzzed from its own schema, with every check of schemathesis on."""

import os
import subprocess
import sys
from pathlib import Path

from live_server import live_server

FUZZED_S = 60

EXPECTED = """
[checks]
# A schema cannot say that base64 must decode, or that a conversation ends with a question: 400 is right there too.
positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 413, 429]
"""


def test_the_api_keeps_its_schema_under_fuzzing(tmp_path: Path):
    (tmp_path / "schemathesis.toml").write_text(EXPECTED)
    with live_server("--max_new_tokens", "8") as server:
        run = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml"),
                *("run", f"{server.url}/openapi.json", "--max-time", str(FUZZED_S)),
                *("--checks", "all", "--generation-deterministic", "--no-color"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
        assert "Traceback" not in "\n".join(server.lines)
        assert server.process.poll() is None
