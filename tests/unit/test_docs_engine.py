"""docs/engine.md: its Python block runs on the bundled model."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "engine.md"


def test_the_example_of_the_engine_runs(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("R1OMNI_CACHE", str(tmp_path))
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    exec("\n".join(blocks), {})
