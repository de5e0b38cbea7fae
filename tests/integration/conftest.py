"""What tests of a running server share: OpenAI's client of a file's `server`, and the answers it should give."""

from collections.abc import Iterator

import pytest
from openai import OpenAI

from live_server import LiveServer


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Iterator[OpenAI]:
    """OpenAI's client, connected to the server of the file that asks for it."""
    with OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=60) as connected:
        yield connected


@pytest.fixture(scope="session")
def expected():
    """What `r1omni predict` says about the bundled clips with pictures, by file name."""
    from r1omni.infer.predict_files import ASSETS, load_engine, predict_files  # after the unit tests' hook on imports

    engine = load_engine(dtype="float32")
    return {found.path.stem: found for found in predict_files(engine, sorted((ASSETS / "clips").glob("*.mp4")))}
