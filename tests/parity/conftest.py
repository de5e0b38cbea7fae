"""The golden set the tests compare with: `pytest tests/parity --golden DIR`."""

from pathlib import Path

import pytest
import torch

from parity.golden import Golden, Subject

DEFAULT = Path(__file__).parents[3] / "shared" / "parity" / "dev_small"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden", type=Path, default=None, help="folder of one golden set; default: the small one beside"
    )


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Golden:
    given = request.config.getoption("--golden")
    if given is not None and not (given / "meta.json").is_file():
        raise pytest.UsageError(f"--golden {given} holds no meta.json; name the folder of one golden set")
    folder = given or DEFAULT
    if not folder.is_dir():
        pytest.skip(f"no golden set at {folder}, for it lies beside the project: name one with --golden")
    return Golden(folder.resolve())


@pytest.fixture(scope="session")
def subject(golden: Golden) -> Subject:
    torch.manual_seed(0)
    return Subject(golden)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What counts the files that were used runs last."""
    items.sort(key=lambda item: "test_coverage" in item.nodeid)
