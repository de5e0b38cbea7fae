"""A stage in several processes: they know each other, one reports, and the first error ends all of them."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from r1omni.core.errors import ConfigError, StoppedError
from r1omni.reproduce.together import run_together

Report = Callable[[str, float], None]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes find the stages of this file."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


def note(folder: Path, report: Report) -> None:
    """Leave this process's place among the others."""
    place = "-".join(os.environ.get(name, "") for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT"))
    (folder / place).touch()
    report(f"rank {os.environ.get('RANK')}", 1.0)


def fail_second(folder: Path, report: Report) -> None:
    """An error in one process, while the other would go on for long."""
    if os.environ["RANK"] == "1":
        raise ConfigError("the sentence")
    (folder / "began").touch()
    time.sleep(600)


def wait(folder: Path, report: Report) -> None:
    """Go on for long after a report."""
    report("waiting", 0.5)
    time.sleep(600)


def test_every_process_knows_its_place_and_the_first_one_reports(tmp_path: Path) -> None:
    told: list[str] = []
    run_together(partial(note, tmp_path), 2, lambda name, share: told.append(name))
    places = sorted(path.name for path in tmp_path.iterdir())
    port = places[0].split("-")[-1]
    assert places == [f"0-0-2-{port}", f"1-1-2-{port}"] and int(port) > 0
    assert told == ["rank 0"]
    assert "RANK" not in os.environ and "WORLD_SIZE" not in os.environ


def test_one_process_is_this_one(tmp_path: Path) -> None:
    told: list[str] = []
    run_together(partial(note, tmp_path), 1, lambda name, share: told.append(name))
    assert told == ["rank None"]


def test_an_error_in_one_process_ends_the_others_and_reaches_the_caller(tmp_path: Path) -> None:
    started_s = time.monotonic()
    with pytest.raises(ConfigError, match="the sentence"):
        run_together(partial(fail_second, tmp_path), 2, lambda name, share: None)
    assert time.monotonic() - started_s < 300


def test_a_request_to_stop_reaches_every_process(tmp_path: Path) -> None:
    def stop(name: str, share: float) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    started_s = time.monotonic()
    with pytest.raises(StoppedError, match="the same command resumes the run"):
        run_together(partial(wait, tmp_path), 2, stop)
    assert time.monotonic() - started_s < 300
