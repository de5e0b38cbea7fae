"""A model is published and used by its id: card, upload, and revisions, against a stand-in of the hub."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from conftest import Command
from hub_stand_in import hub_stand_in
from r1omni.cli.app import app
from r1omni.core.errors import ConfigError
from r1omni.infer.predict_files import ASSETS
from r1omni.model.save_model import save_model
from small_model import small_model


def here(*arguments: str | Path) -> Result:
    """Run a command in this process, which is quicker; the hub's address is read when its client is imported."""
    return CliRunner().invoke(app, [str(word) for word in arguments])


def test_a_published_folder_uploads_as_it_is_and_answers_by_id_at_a_pinned_revision(
    r1omni: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("R1OMNI_CACHE", str(tmp_path / "cache"))
    save_model(*small_model(), tmp_path / "model")
    clip = ASSETS / "clips" / "fear.mp4"
    evaluated = here(
        "evaluate", "--model", "model", "--data", clip.with_name("manifest.jsonl"), "--out", "eval",
        "--max-new-tokens", "4", "--shown", "0",
    )  # fmt: skip
    assert evaluated.exit_code == 0, evaluated.output
    card = ("checkpoint", "card", "model", "--scores", "eval", "--license", "apache-2.0")
    done = here(*card, "--out", "faces")
    assert done.exit_code == 0, done.output

    with hub_stand_in() as hub:
        online = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hub"), "HF_TOKEN": "hf_x",
                  "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}  # fmt: skip
        upload = [sys.executable, "-m", "huggingface_hub.cli.hf", "upload", "somebody/faces", "faces"]
        sent = subprocess.run(upload, cwd=tmp_path, env={**os.environ, **online}, capture_output=True, text=True)
        assert sent.returncode == 0, sent.stderr
        (first,) = hub.commits["somebody/faces"]
        held = hub.commits["somebody/faces"][first]
        local = {path.relative_to(tmp_path / "faces").as_posix(): path.read_bytes()
                 for path in (tmp_path / "faces").rglob("*") if path.is_file()}  # fmt: skip
        assert held == local and "README.md" in held

        # The branch moves on to other weights; the pinned commit still answers as the folder does.
        save_model(*small_model(1), tmp_path / "other")
        second = hub.commit(
            "somebody/faces", {"model.safetensors": (tmp_path / "other/model.safetensors").read_bytes()}
        )
        assert second != first
        local_answer = here("predict", clip, "--model", "faces", "--json")
        pinned = r1omni("predict", clip, "--model", f"somebody/faces@{first}", "--json", **online)
        newest = r1omni("predict", clip, "--model", "somebody/faces", "--json", **online)
        assert pinned.returncode == newest.returncode == 0, pinned.stderr + newest.stderr
        texts = [json.loads(said.stdout)["clips"][0]["text"] for said in (local_answer, pinned, newest)]
        assert texts[0] == texts[1] != texts[2]

        missing = r1omni("checkpoint", "inspect", "somebody/faces@v9", **online)
        assert missing.returncode == 1 and "it has no branch, tag or commit 'v9'" in missing.stderr
        assert "Traceback" not in missing.stderr

    again = r1omni("checkpoint", "inspect", f"somebody/faces@{first}", **(online | {"HF_HUB_OFFLINE": "1"}))
    assert again.returncode == 0, again.stderr
    foreign = here("checkpoint", "card", "other", "--scores", "eval", "--license", "other", "--out", "wrong")
    assert isinstance(foreign.exception, ConfigError) and "evaluated other weights" in str(foreign.exception)
    assert not (tmp_path / "wrong").exists()
