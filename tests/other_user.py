"""Runs a piece of a test as a user who owns nothing here, whoever runs the suite."""

import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _give_up_rights_and(act: Callable[[], None]) -> None:
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        act()
    except BaseException:  # noqa: BLE001 - whatever it is, the parent learns of it by the exit code
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def run_as_other_user(act: Callable[[], None]) -> None:
    """Run in a child process that is root no longer; who is not root stays who they are. Fails as the child does."""
    child = multiprocessing.get_context("fork").Process(target=_give_up_rights_and, args=(act,))
    child.start()
    child.join(60)
    assert child.exitcode == 0


def take_write_rights(folder: Path) -> None:
    """Make a folder and all below it readable only, for its owner too."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def give_write_rights(folder: Path) -> None:
    """Undo `take_write_rights`."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
