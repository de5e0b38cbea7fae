"""The golden set the tests compare with: `pytest tests/parity --golden DIR`."""

import os
from pathlib import Path

import pytest
import torch

from parity.golden import Golden, Subject, checkpoint_of_zeros
from r1omni.model.load_model import load_model
from r1omni.model.processing import HumanOmniProcessor

SHIPPED = Path(__file__).parents[1] / "golden" / "small"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden",
        type=Path,
        default=os.environ.get("R1OMNI_GOLDEN"),
        help="folder of one golden set; default: $R1OMNI_GOLDEN, else tests/golden/small, a part without weights",
    )


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Golden:
    folder = Path(request.config.getoption("--golden") or SHIPPED)
    if not (folder / "meta.json").is_file():
        raise pytest.UsageError(f"--golden {folder} holds no meta.json; name the folder of one golden set")
    return Golden(folder.resolve())


@pytest.fixture(scope="session")
def subject(golden: Golden) -> Subject:
    if not golden.is_whole:
        golden.skip("weights")
    torch.manual_seed(0)
    return Subject(golden)


@pytest.fixture(scope="session")
def checkpoint(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set's checkpoint; zeros stand for weights that a part of a set leaves out."""
    return (
        golden.path("checkpoint") if golden.is_whole else checkpoint_of_zeros(golden, tmp_path_factory.mktemp("zeros"))
    )


@pytest.fixture(scope="session")
def processor(golden: Golden, checkpoint: Path) -> HumanOmniProcessor:
    """The set's processor, which needs no weights."""
    return load_model(checkpoint, router=str(golden.tower("bert")))[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What counts the files that were used runs last."""
    items.sort(key=lambda item: "test_coverage" in item.nodeid)
