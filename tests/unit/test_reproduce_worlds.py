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
    # Deviation 5 over three worlds: 4.303 * 5 / sqrt(3) = 12.4.
    lead = "+25.0 ± 12.4 (+20.0, +30.0, +25.0)"
    assert f"| r1-omni - base | {lead} | {lead} |" in text
    assert "EPC" not in text and "without" not in text


def test_figures_of_reasons_and_of_one_side_have_tables_of_their_own() -> None:
    worlds = [table(seed, 10, 30) for seed in (1, 2)]
    for world, epc in zip(worlds, (90.0, 96.0), strict=True):
        for row in world["rows"]:  # pyright: ignore[reportGeneralTypeIssues]
            row["epc"] = epc if row["model"] == "r1-omni" else None
        world["one_sided"] = [{"model": "r1-omni", "corpus": "c", "absent": "sound", "war": epc - 50}]
    _, reasons, one_sided = summarise(worlds).split("\n\n")
    # Deviation sqrt(18) over two worlds: 12.706 * 4.243 / sqrt(2) = 38.1. The base gives no reasons and has no line.
    assert reasons.splitlines() == ["|  | c EPC |", "| --- | --- |", "| r1-omni | 93.0 ± 38.1 |"]
    assert one_sided.splitlines()[0] == "|  | c without sound WAR |"
    assert "| r1-omni | 43.0 ± 38.1 |" in one_sided


def test_one_world_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="different seeds"):
        summarise([table(1, 10, 30), table(1, 10, 30)])
