"""What decides a configured run besides its settings is part of its identity; what only changes its speed is not."""

from pathlib import Path

import pytest

from r1omni.config.load import load_run
from r1omni.config.sft_run import SftConfig
from r1omni.core.errors import ConfigError
from r1omni.runs.run_folder import RunFolder
from r1omni.train.configured_run import training_run


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "m.jsonl"
    path.write_text('{"id": "a", "path": "a.mp4", "label": "sad"}\n')
    return path


def claim(tmp_path: Path, manifest: Path, *flags: str) -> None:
    base = ["--model", "m", "--output_dir", str(tmp_path / "run"), "--data.train", str(manifest)]
    run = training_run(load_run(SftConfig, [], [*base, "--data.validation", str(manifest), *flags]))
    RunFolder(Path(run.output_dir), "sft", run.identity, run.facts, run.configuration).claim()


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--engine.modality", "audio"), "engine.modality"),
        (("--engine.num_frames", "4"), "engine.num_frames"),
        (("--engine.video_pooling", "slow_fast"), "engine.video_pooling"),
        (("--engine.text_field", "manifest"), "engine.text_field"),
        (("--data.max_validation_clips", "1"), "data.max_validation_clips"),
        (("--max_completion_length", "9"), "max_completion_length"),
        (("--lora.r", "4"), "lora"),
    ],
)
def test_another_run_in_the_same_folder_is_refused_by_name(
    tmp_path: Path, manifest: Path, flags: tuple[str, ...], named: str
) -> None:
    claim(tmp_path, manifest)
    with pytest.raises(ConfigError, match=named):
        claim(tmp_path, manifest, *flags)


def test_another_speed_is_the_same_run(tmp_path: Path, manifest: Path) -> None:
    claim(tmp_path, manifest)
    claim(tmp_path, manifest, "--engine.batch_size", "3", "--engine.num_workers", "5", "--engine.cache_bytes", "9")
