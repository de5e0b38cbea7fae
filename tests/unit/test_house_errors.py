"""Package errors become one line and an exit code."""

import pytest

from r1omni.cli.boundary import run
from r1omni.core.errors import CheckpointError, ConfigError, MediaError, R1OmniError, StoppedError


@pytest.fixture(autouse=True)
def no_debug(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("R1OMNI_DEBUG", raising=False)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CheckpointError("a\n  b"), 1),
        (ConfigError("a b"), 2),
        (MediaError("missing", "a b"), 1),
        (R1OmniError("a b"), 1),
        (StoppedError("a b"), 143),
        (KeyboardInterrupt(), 130),
    ],
    ids=["checkpoint", "config", "media", "base", "stopped", "interrupt"],
)
def test_an_error_is_one_line_on_standard_error(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]):
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as left:
        run(fail)
    output = capsys.readouterr()
    assert left.value.code == code
    assert output.out == ""
    assert output.err.startswith("r1omni: ") and output.err.count("\n") == 1


def test_a_fault_of_ours_keeps_its_traceback():
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(fail)


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("R1OMNI_DEBUG", "1")

    def fail() -> None:
        raise ConfigError("a")

    with pytest.raises(ConfigError):
        run(fail)
