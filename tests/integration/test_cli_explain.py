"""`r1omni explain`: pages and JSON of clips, and clips that cannot be read."""

import json
from pathlib import Path

from r1omni.infer.predict_files import ASSETS

CLIP = ASSETS / "clips" / "angry.mp4"


def test_clips_become_a_folder_of_pages_and_json(r1omni, tmp_path: Path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no clip")
    done = r1omni("explain", CLIP, broken, "--out", "pages", "--json", "--no-subtitles")
    assert done.returncode == 1 and "broken.mp4" in done.stderr
    read, failed = json.loads(done.stdout)["clips"]
    assert read["id"] == "angry" and read["attribution"]["num_prefills"] <= 16
    assert failed["error"]["sentence"].startswith(str(broken))
    pages = sorted(path.name for path in (tmp_path / "pages").iterdir())
    assert pages == ["00001-angry.html", "index.html"]
    index = (tmp_path / "pages" / "index.html").read_text(encoding="utf-8")
    assert 'href="00001-angry.html"' in index and "not read:" in index


def test_wrong_use_is_one_line_that_says_what_to_do(r1omni_in_process, tmp_path: Path):
    for arguments, said in (
        ((CLIP,), "--out"),
        ((CLIP, CLIP, "--out", "page.html"), "name a folder"),
        (("a.jsonl", CLIP, "--json"), "is a manifest; give it alone"),
    ):
        done = r1omni_in_process("explain", *arguments)
        assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
