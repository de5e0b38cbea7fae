"""Runs last: nothing of the set was left aside."""

import pytest

from parity.golden import Golden


def test_every_file_and_tensor_of_the_set_was_used(golden: Golden, request: pytest.FixtureRequest) -> None:
    beside = [item for item in request.session.items if item.path.parent == request.path.parent]
    if request.session.testsfailed or request.config.getoption("keyword") or len(beside) < 30:
        pytest.skip("only counts after a whole run of tests/parity without failures")
    files = {p for p in golden.folder.rglob("*") if p.is_file()}
    unused = sorted(str(p.relative_to(golden.folder)) for p in files - golden.used)
    assert not unused, f"unused files: {unused}"
    unread = {name: sorted(tensors.unread) for name, tensors in golden.opened.items() if tensors.unread}
    assert not unread, f"unread tensors: {unread}"
