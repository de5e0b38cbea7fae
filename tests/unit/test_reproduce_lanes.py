"""Stages in parallel: each once, after its dependencies; errors reach the caller."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from r1omni.core.errors import ConfigError, StoppedError
from r1omni.reproduce.lanes import Stage, run_stages

Report = Callable[[str, float], None]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a lane's process find the stages of this file."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


def note(name: str, folder: Path, report: Report) -> None:
    """Leave a stage's place in the order of events."""
    with (folder / "events").open("a") as file:
        file.write(f"{name}\n")
    report(name, 1.0)


def meet(name: str, other: str, folder: Path, report: Report) -> None:
    """End only when another stage has begun."""
    (folder / name).touch()
    deadline_s = time.monotonic() + 60
    while not (folder / other).exists():
        assert time.monotonic() < deadline_s, f"{other} never began beside {name}"
        time.sleep(0.01)
    note(name, folder, report)


def fail(folder: Path, report: Report) -> None:
    """A stage with a clear error."""
    raise ConfigError("the sentence")


def train(folder: Path, report: Report) -> None:
    """A stage that saves when it is asked to stop."""

    def stop(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise StoppedError("stopped")

    signal.signal(signal.SIGTERM, stop)
    (folder / "begun").touch()
    try:
        time.sleep(60)
    except StoppedError:
        time.sleep(0.5)
        (folder / "saved").touch()
        raise


def fail_beside_training(folder: Path, report: Report) -> None:
    """A stage that fails once training has begun, so that its lane is idle when both are ended."""
    while not (folder / "begun").exists():
        time.sleep(0.01)
    raise ConfigError("the sentence")


@pytest.mark.parametrize("num_lanes", [1, 2])
def test_every_stage_runs_once_after_those_it_needs(tmp_path: Path, num_lanes: int) -> None:
    stages = {
        "last": Stage(partial(note, "last"), ("left", "right")),
        "left": Stage(partial(note, "left"), ("first",)),
        "right": Stage(partial(note, "right"), ("first",)),
        "first": Stage(partial(note, "first")),
    }
    told: list[str] = []
    seconds: dict[str, float] = {}
    run_stages(stages, tmp_path, num_lanes, lambda name, share: told.append(name), seconds.__setitem__)
    events = (tmp_path / "events").read_text().split()
    assert sorted(told) == sorted(seconds) == sorted(events) == sorted(stages)
    assert (events[0], events[-1]) == ("first", "last")


def test_two_lanes_run_side_by_side(tmp_path: Path) -> None:
    stages = {"left": Stage(partial(meet, "left", "right")), "right": Stage(partial(meet, "right", "left"))}
    run_stages(stages, tmp_path, 2, lambda name, share: None, lambda name, seconds: None)
    assert sorted((tmp_path / "events").read_text().split()) == ["left", "right"]


@pytest.mark.parametrize("num_lanes", [1, 2])
def test_an_error_of_a_stage_reaches_the_caller_and_nothing_after_it_runs(tmp_path: Path, num_lanes: int) -> None:
    stages = {"bad": Stage(fail), "after": Stage(partial(note, "after"), ("bad",))}
    with pytest.raises(ConfigError, match="the sentence"):
        run_stages(stages, tmp_path, num_lanes, lambda name, share: None, lambda name, seconds: None)
    assert not (tmp_path / "events").exists()


@pytest.mark.parametrize("num_lanes", [1, 2])
def test_a_request_to_stop_is_an_error_and_not_an_exit(tmp_path: Path, num_lanes: int) -> None:
    def stop_at(name: str, share: float) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    stages = {"first": Stage(partial(note, "first")), "after": Stage(partial(note, "after"), ("first",))}
    with pytest.raises(StoppedError, match="the same command resumes the run"):
        run_stages(stages, tmp_path, num_lanes, stop_at, lambda name, seconds: None)
    assert (tmp_path / "events").read_text().split() == ["first"]


@pytest.mark.timeout(50)
def test_an_error_beside_a_stage_that_saves_lets_it_save_and_ends_both_lanes(tmp_path: Path) -> None:
    stages = {"training": Stage(train), "bad": Stage(fail_beside_training)}
    with pytest.raises(ConfigError, match="the sentence"):
        run_stages(stages, tmp_path, 2, lambda name, share: None, lambda name, seconds: None)
    assert (tmp_path / "saved").exists()
