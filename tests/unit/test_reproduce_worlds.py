"""The table over several worlds, worked by hand."""

import pytest

from compare_worlds import mean_and_reach, summarise
from r1omni.core.errors import ConfigError


def table(seed: int, base: float, tuned: float) -> dict[str, object]:
    rows = [{"model": m, "corpus": "c", "war": v, "uar": v} for m, v in (("base", base), ("r1-omni", tuned))]
    return {"scale": "tiny", "seed": seed, "rows": rows}


def test_the_interval_is_students() -> None:
    # Deviation 2 over three worlds: 4.303 * 2 / sqrt(3).
    assert mean_and_reach([8.0, 10.0, 12.0]) == pytest.approx((10.0, 4.9687), abs=1e-3)


def test_gains_are_paired_by_world() -> None:
    text = summarise([table(1, 10, 30), table(2, 20, 50), table(3, 30, 55)])
    assert "| base | 20.0 ± 24.8 | 20.0 ± 24.8 |" in text
    assert "| r1-omni - base | +25.0 (+20.0, +30.0, +25.0) | +25.0 (+20.0, +30.0, +25.0) |" in text


def test_one_world_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="different seeds"):
        summarise([table(1, 10, 30), table(1, 10, 30)])
