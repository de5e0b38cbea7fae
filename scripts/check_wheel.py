"""Build the wheel and the sdist, look at what is in them, and use the wheel from an empty environment (`make package`).

The wheel holds the package, its data and its licences and nothing else. It is then installed, with the pinned versions,
into a new environment, where the commands, the recipe's smoke scale among them, are run from a folder that is not the
repository.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src" / "r1omni"
LICENCES = (
    "LICENSE",
    "src/r1omni/assets/README.md",
    "src/r1omni/assets/face/LICENSE",
)
"""What the wheel must hold below its dist-info's `licenses/`."""
SDIST_ONLY = {"PKG-INFO", "pyproject.toml", ".gitignore"}
"""Files at the top of the sdist beside what pyproject.toml lists."""
READY_S = 120.0
"""Seconds until the server must answer."""
NUM_ROWS = 15
"""Rows of the recipe's table: five models on three corpora."""
_UNWANTED = re.compile(r"^(nvidia|triton|torchvision|torchaudio|torchcodec)", re.IGNORECASE)
AUTO_CLASSES = """
import r1omni, sys
assert "torch" not in sys.modules
from importlib.resources import files
from transformers import AutoModelForCausalLM, AutoProcessor
folder = str(files("r1omni") / "assets" / "drawn-people")
assert "site-packages" in folder, folder
print(type(AutoModelForCausalLM.from_pretrained(folder)).__name__, type(AutoProcessor.from_pretrained(folder)).__name__)
assert callable(r1omni.load_engine)
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog="Example: python scripts/check_wheel.py --full")
def main(
    full: Annotated[
        bool, typer.Option("--full", help="Install every extra, not only those of the server and the recipe.")
    ] = False,
    dist: Annotated[Path, typer.Option(help="Folder of the wheel and the sdist.")] = REPOSITORY / "dist",
    python: Annotated[str, typer.Option(help="Interpreter of the empty environment.")] = sys.executable,
) -> None:
    """Build, inspect, install and use the package; exits with 1 at the first thing that is wrong."""
    started = time.monotonic()
    wheel, sdist = build(dist)
    with zipfile.ZipFile(wheel) as archive:
        problems = wheel_problems(archive.namelist(), package_files(), version())
        metadata = archive.read(f"r1omni-{version()}.dist-info/METADATA").decode()
    problems += metadata_problems(metadata, project())
    with tarfile.open(sdist) as archive:
        problems += sdist_problems(archive.getnames(), version())
    for problem in problems:
        typer.echo(f"problem: {problem}", err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB; {sdist.name}: {sdist.stat().st_size / 1e6:.1f} MB")
    with TemporaryDirectory(prefix="r1omni-package-") as folder:
        use(wheel, Path(folder), python, full=full)
    typer.echo(f"the package was built, inspected, installed and used in {time.monotonic() - started:.0f} s")


def project() -> dict:
    """Return pyproject.toml's table of the project."""
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def version() -> str:
    """Return the version that pyproject.toml states."""
    return project()["version"]


def package_files() -> set[str]:
    """Return the files of the package as the wheel names them, those that git ignores left out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src/r1omni"],
        cwd=REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip
    if listed.returncode == 0:
        names = [name for name in listed.stdout.splitlines() if (REPOSITORY / name).is_file()]
        return {name.removeprefix("src/") for name in names}
    paths = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(PACKAGE.parent).as_posix() for path in paths}


def build(dist: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from the sdist, into a folder that holds nothing else; return wheel and sdist.

    Args:
        dist: emptied first.
    """
    shutil.rmtree(dist, ignore_errors=True)
    _run([sys.executable, "-m", "build", "--outdir", dist, REPOSITORY], REPOSITORY)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    return wheel, sdist


def wheel_problems(names: Iterable[str], expected: set[str], of_version: str) -> list[str]:
    """Return what a wheel lacks and what it should not hold.

    Args:
        names: of its files.
        expected: files of the package.
        of_version: the version in the name of its dist-info.
    """
    info = f"r1omni-{of_version}.dist-info/"
    found = {name for name in names if not name.endswith("/")}
    own = {name for name in found if name.startswith(info)}
    wanted = {f"{info}{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    wanted |= {f"{info}licenses/{name}" for name in LICENCES}
    return [
        *(f"the wheel holds {name}, which is no file of the package" for name in sorted(found - own - expected)),
        *(f"the wheel lacks {name}" for name in sorted((expected - found) | (wanted - own))),
        *(f"the wheel holds {name}, which is no metadata" for name in sorted(own - wanted)),
    ]


def metadata_problems(metadata: str, declared: dict) -> list[str]:
    """Return where a wheel's metadata differ from what pyproject.toml declares.

    Args:
        metadata: the METADATA file.
        declared: the table of the project.
    """
    extras = set(re.findall(r"^Provides-Extra: (.*)$", metadata, re.MULTILINE))
    problems = []
    if f"\nVersion: {declared['version']}\n" not in metadata:
        problems.append(f"METADATA does not have version {declared['version']}")
    if extras != set(declared["optional-dependencies"]):
        problems.append(f"METADATA has the extras {sorted(extras)}")
    if "\nLicense-Expression: Apache-2.0\n" not in metadata:
        problems.append("METADATA does not name the licence Apache-2.0")
    return problems


def sdist_problems(names: Iterable[str], of_version: str) -> list[str]:
    """Return what an sdist holds at its top that pyproject.toml does not list, and caches anywhere.

    Args:
        names: of its members.
        of_version: the version in the name of its only folder.
    """
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    listed = {name.strip("/") for name in settings["targets"]["sdist"]["include"]}
    listed |= SDIST_ONLY | {"README.md", "LICENSE"}
    root = f"r1omni-{of_version}"
    tops = {name.split("/")[1] for name in names if name.startswith(f"{root}/")}
    outside = [name for name in names if name != root and not name.startswith(f"{root}/")]
    caches = [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    return [
        *(f"the sdist holds {name}, which pyproject.toml does not list" for name in sorted(tops - listed)),
        *(f"the sdist lacks {name}" for name in sorted(listed - tops - SDIST_ONLY)),
        *(f"the sdist holds {name}" for name in [*outside, *caches]),
    ]


def use(wheel: Path, folder: Path, interpreter: str, *, full: bool) -> None:
    """Install a wheel into an empty environment and run the commands from another folder.

    Args:
        wheel: the file.
        folder: an empty one.
        interpreter: of the environment.
        full: install every extra, not only those that the commands need.
    """
    binaries = install(wheel, folder / "environment", interpreter, "all" if full else "serve,synth")
    here = folder / "elsewhere"
    here.mkdir()
    python, r1omni = binaries / "python", binaries / "r1omni"
    assets = Path(_run([python, "-c", "import r1omni; print(r1omni.__path__[0])"], here).strip()) / "assets"
    clips = assets / "clips"
    _run([python, "-c", AUTO_CLASSES], here)
    assert _run([r1omni, "--version"], here).strip() == version()
    model, manifest = assets / "drawn-people", clips / "manifest.jsonl"
    files = [clips / json.loads(line)["path"] for line in manifest.read_text().splitlines()]
    assert {path.name for path in files} >= {"angry.mp4", "fear.mp4", "neutral.mp4"}
    said = json.loads(_run([r1omni, "predict", *files, "--json"], here))["clips"]
    assert len(said) == len(files) and all(entry["answer"] for entry in said), said
    _run([r1omni, "evaluate", "--model", model, "--data", manifest, "--out", "eval"], here)
    assert json.loads((here / "eval" / "scores.json").read_text())["num_clips"] == len(files)
    _run([r1omni, "annotate", clips, "--out", "annotated"], here)
    assert json.loads((here / "annotated" / "annotations.json").read_text())["num_clips"] == len(files)
    _run([r1omni, "explain", clips / "fear.mp4", "--out", "explained.html"], here)
    assert (here / "explained.html").is_file()
    serve(r1omni, here)
    _run([r1omni, "reproduce", "--scale", "smoke", "--out", "reproduced"], here)
    rows = json.loads((here / "reproduced" / "table.json").read_text())["rows"]
    assert len(rows) == NUM_ROWS and all(row["num_clips"] > 0 for row in rows), rows
    assert "r1-omni" in (here / "reproduced" / "report.html").read_text(encoding="utf-8")


def install(wheel: Path, environment: Path, interpreter: str, extras: str) -> Path:
    """Make an environment with the pinned versions of what a wheel needs; return its folder of programs.

    Args:
        wheel: the file.
        environment: the folder to make.
        interpreter: that it is made with.
        extras: comma-separated.
    """
    _run([interpreter, "-m", "venv", environment], REPOSITORY)
    binaries = environment / "bin"
    pip = [binaries / "python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
    constraints = REPOSITORY / "constraints.txt"
    torch = next(line for line in constraints.read_text().splitlines() if line.startswith("torch=="))
    # torch first: the pinned build decides, and nothing resolved later can replace it.
    _run([*pip, "install", torch], REPOSITORY)
    _run([*pip, "install", "-c", constraints, f"{wheel}[{extras}]"], REPOSITORY)
    _run([*pip, "check"], REPOSITORY)
    names = _run([*pip, "list", "--format=freeze"], REPOSITORY).splitlines()
    unwanted = [name for name in names if _UNWANTED.match(name)]
    assert not unwanted, f"the environment holds {', '.join(unwanted)}, which break a CPU build of torch"
    return binaries


def serve(r1omni: Path, here: Path) -> None:
    """Start the server on a free port, ask whether it is alive, and stop it by SIGTERM.

    Args:
        r1omni: the command.
        here: working folder.
    """
    process = subprocess.Popen(
        [r1omni, "serve", "--port", "0"], cwd=here, env=_environment(here), stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        url = None
        for line in process.stderr:
            if found := re.search(r"Ready: (http\S+)", line):
                url = found[1]
                break
        assert url is not None, "the server ended before it was ready"
        with urllib.request.urlopen(f"{url.rstrip('/')}/healthz", timeout=READY_S) as reply:
            assert reply.status == 200
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(READY_S) in (0, 143), process.returncode
    finally:
        if process.poll() is None:
            process.kill()


def _environment(here: Path) -> dict[str, str]:
    """The variables of a user who has no checkout: no PYTHONPATH, no network, caches of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return kept | {"HF_HUB_OFFLINE": "1", "R1OMNI_CACHE": str(here / "cache"), "OMP_NUM_THREADS": "1"}


def _run(command: Sequence[str | Path], here: Path) -> str:
    """Run a command, say how long it took, and return its standard output.

    Raises:
        typer.Exit: it failed; its output has been shown.
    """
    words = [str(word) for word in command]
    shown = " ".join([Path(words[0]).name, *words[1:]]).strip().split("\n")[0]
    started = time.monotonic()
    done = subprocess.run(words, cwd=here, env=_environment(here), capture_output=True, text=True)
    typer.echo(f"{time.monotonic() - started:6.1f} s  {shown[:150]}")
    if done.returncode:
        typer.echo(f"failed with {done.returncode}\n{done.stdout}{done.stderr}", err=True)
        raise typer.Exit(1)
    return done.stdout


if __name__ == "__main__":
    app()
