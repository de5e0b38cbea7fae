"""docs/datasets.md: its shell commands, from a release on disk to a cited table, on a generated miniature of DFEW."""

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
        write_clip(root / "Clip/original" / f"{number}.mp4", rng)
    return root


def write_clip(path: Path, rng: np.random.Generator) -> None:
    frames = rng.integers(40, 200, (6, 32, 32, 3), dtype=np.uint8)
    write_video(path, frames, 10, (0.2 * rng.standard_normal(9600)).astype(np.float32))


def made_mafw(root: Path) -> Path:
    """Four clips with compound classes; fold 1 tests the first alone."""
    lines = ["00001.mp4 anger_disgust", "00002.mp4 fear_surprise_anxiety", "00003.mp4 anger", "00004.mp4 anger_disgust"]
    folder = root / "split/compound/no_caption/set_1"
    folder.mkdir(parents=True)
    (folder / "test.txt").write_text(lines[0] + "\n")
    (folder / "train.txt").write_text("\n".join(lines[1:]) + "\n")
    for number in range(1, 5):
        write_clip(root / f"0000{number}.mp4", np.random.default_rng(number))
    return root


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two checkpoints with random weights, in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("R1OMNI_CACHE", str(tmp_path / "cache"))
    for seed, name in enumerate(("base", "r1-omni")):
        weights, processor = small_model(seed)
        weights.save_pretrained(tmp_path / "models" / name)
        processor.save_pretrained(tmp_path / "models" / name)
    return tmp_path


def r1omni_here(*arguments: str | Path) -> str:
    run = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert run.exit_code == 0, f"{arguments}: {run.output} {run.exception!r}"
    return run.stdout


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


def test_the_pages_commands_lead_from_a_release_to_a_cited_table(models: Path):
    variables = {"DFEW": str(made_dfew(models / "DFEW")), "BASE": "models/base", "MODEL": "models/r1-omni"}
    said = []
    for program, *arguments in page_commands(variables):
        assert program == "r1omni"
        found = [sorted(map(str, Path().glob(word))) if "*" in word else [word] for word in arguments]
        if arguments[0] == "evaluate":
            found.append(["--max-new-tokens", "4"])
        said.append((arguments[0], r1omni_here(*sum(found, []))))
    assert [verb for verb, _ in said].count("evaluate") == 13

    table = next(text for verb, text in said if verb == "report")
    for model in ("base", "r1-omni"):
        assert f"dfew, {model}, 5 folds: war " in table
        assert sum(f"dfew fold {fold}, {model}: war " in table for fold in range(1, 6)) == 5
    assert "dfew fold 3, r1-omni minus base: war " in table and "McNemar p " in table
    page = Path("dfew.html").read_text(encoding="utf-8")
    assert "Mean over folds" in page and "1, 2, 3, 4, 5" in page and "MAFW-DFEW-SFT" in page and "exact" in page

    # Two shards gave the file that the folds give together, and the last command asked no model again.
    said_of = {row["id"]: row["text"] for k in range(1, 6) for row in rows(f"runs/r1-omni/fold-{k}/predictions.jsonl")}
    together = [(row["id"], row["text"]) for row in rows("runs/all/predictions.jsonl")]
    assert together == [(f"{n:05d}", said_of[f"{n:05d}"]) for n in range(1, NUM_CLIPS + 1)]
    assert len(rows("runs/all/timing.jsonl")) == NUM_CLIPS
    scores = json.loads(Path("runs/all/scores.json").read_text())
    assert scores["normaliser"] == "synonym" and set(scores["groups"]["fold"]) == set("12345")
    assert set(scores["recall"]) == set(DFEW_LABELS)


def test_compound_classes_go_through_the_verbs(models: Path):
    r1omni_here("data", "mafw", "--root", made_mafw(models / "MAFW"), "--out", "mafw.jsonl", "--classes", "compound")
    options = ["--fold", "1", "--max-new-tokens", "4", "--normaliser", "synonym", "--json"]
    said = r1omni_here("evaluate", "--model", "models/base", "--data", "mafw.jsonl", "--out", "run", *options)
    scores = json.loads(said)["mafw.jsonl"]
    # One clip in the fold, all three classes of the manifest in the label set; random weights name none of them.
    assert scores["num_clips"] == 1 and scores["oov_rate"] == 100.0 and scores["war"] == 0.0
    assert set(scores["recall"]) == {"angry", "angry_disgust", "fear_surprise_anxious"}
    page = Path("run/report.html").read_text(encoding="utf-8")
    assert "mafw-compound fold 1" in page and "MAFW-DFEW-SFT" not in page
