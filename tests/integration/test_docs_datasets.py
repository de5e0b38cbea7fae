"""docs/datasets.md: its shell commands, from a release on disk to a cited table, run on a made miniature of DFEW."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from r1omni.cli.app import app
from r1omni.core.labels import DFEW_LABELS
from r1omni.media.encode import write_video
from small_model import small_model

PAGE = Path(__file__).parents[2] / "docs/datasets.md"
NUM_CLIPS = 10


def made_dfew(root: Path) -> Path:
    """Ten clips with pictures and sound, two in each fold's test part, in DFEW's own layout."""
    rng = np.random.default_rng(0)
    label_of = {number: 1 + number % 7 for number in range(1, NUM_CLIPS + 1)}
    for fold in range(1, 6):
        for part in ("train", "test"):
            ids = [number for number in label_of if (1 + number % 5 == fold) == (part == "test")]
            path = root / "EmoLabel_DataSplit" / f"{part}(single-labeled)" / f"set_{fold}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("video_name,label\n" + "".join(f"{number},{label_of[number]}\n" for number in ids))
    (root / "Clip/original").mkdir(parents=True)
    for number in label_of:
        frames = rng.integers(40, 200, (6, 32, 32, 3), dtype=np.uint8)
        sound = (0.2 * rng.standard_normal(9600)).astype(np.float32)
        write_video(root / "Clip/original" / f"{number}.mp4", frames, 10, sound)
    return root


def page_commands(variables: dict[str, str]) -> list[list[str]]:
    """The page's `sh` blocks as argument lists, with loops unrolled; files named by a pattern are found when run."""
    text = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))

    def unroll(loop: re.Match[str]) -> str:
        name, values, body = loop.groups()
        return "".join(body.replace(f"${name}", value) for value in values.split())

    text = re.sub(r"^for (\w+) in (.*?); do\n(.*?)^done$", unroll, text, flags=re.DOTALL | re.MULTILINE)
    for name, value in variables.items():
        text = text.replace(f"${name}", value)
    lines = [line.removesuffix("&").strip() for line in text.splitlines()]
    return [shlex.split(line) for line in lines if line and line != "wait"]


def rows(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def test_the_pages_commands_lead_from_a_release_to_a_cited_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("R1OMNI_CACHE", str(tmp_path / "cache"))
    for seed, name in enumerate(("base", "r1-omni")):
        weights, processor = small_model(seed)
        weights.save_pretrained(tmp_path / "models" / name)
        processor.save_pretrained(tmp_path / "models" / name)
    variables = {"DFEW": str(made_dfew(tmp_path / "DFEW")), "BASE": "models/base", "MODEL": "models/r1-omni"}
    said = []
    for program, *arguments in page_commands(variables):
        assert program == "r1omni"
        found = [sorted(map(str, Path().glob(word))) if "*" in word else [word] for word in arguments]
        if arguments[0] == "evaluate":
            found.append(["--max-new-tokens", "4"])
        run = CliRunner().invoke(app, sum(found, []))
        assert run.exit_code == 0, f"{arguments}: {run.output} {run.exception!r}"
        said.append((arguments[0], run.stdout))
    assert [verb for verb, _ in said].count("evaluate") == 13

    table = next(text for verb, text in said if verb == "report")
    for model in ("base", "r1-omni"):
        assert f"dfew, {model}, 5 folds: war " in table
        assert sum(f"dfew fold {fold}, {model}: war " in table for fold in range(1, 6)) == 5
    assert "dfew fold 3, r1-omni minus base: war " in table and "McNemar p " in table
    page = Path("dfew.html").read_text(encoding="utf-8")
    assert "mean of 5 folds" in page and "MAFW-DFEW-SFT" in page and "exact" in page

    # Two shards gave the file that the folds give together, and the last command asked no model again.
    said_of = {row["id"]: row["text"] for k in range(1, 6) for row in rows(f"runs/r1-omni/fold-{k}/predictions.jsonl")}
    together = [(row["id"], row["text"]) for row in rows("runs/all/predictions.jsonl")]
    assert together == [(f"{n:05d}", said_of[f"{n:05d}"]) for n in range(1, NUM_CLIPS + 1)]
    assert sum(row["num_clips"] for row in rows("runs/all/timing.jsonl")) == NUM_CLIPS
    scores = json.loads(Path("runs/all/scores.json").read_text())
    assert scores["normaliser"] == "synonym" and set(scores["groups"]["fold"]) == set("12345")
    assert set(scores["recall"]) == set(DFEW_LABELS)
