"""What `make package` accepts as a wheel and as an sdist, and what it objects to."""

from check_wheel import LICENCES, REPOSITORY, metadata_problems, project, sdist_problems, version, wheel_problems

PACKAGE = {"r1omni/__init__.py", "r1omni/py.typed", "r1omni/assets/face/LICENSE"}
INFO = "r1omni-0.2.0.dist-info"
METADATA = [f"{INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")]
WHOLE = [*PACKAGE, *METADATA, *(f"{INFO}/licenses/{name}" for name in LICENCES)]


def test_a_wheel_of_the_package_and_its_licences_is_whole():
    assert wheel_problems(WHOLE, PACKAGE, "0.2.0") == []


def test_a_stray_file_a_missing_one_and_a_missing_licence_are_named():
    names = [name for name in WHOLE if not name.endswith(("py.typed", "licenses/LICENSE"))] + ["tests/conftest.py"]
    assert wheel_problems(names, PACKAGE, "0.2.0") == [
        "the wheel holds tests/conftest.py, which is no file of the package",
        "the wheel lacks r1omni-0.2.0.dist-info/licenses/LICENSE",
        "the wheel lacks r1omni/py.typed",
    ]


def test_every_licence_that_the_wheel_must_hold_is_in_the_repository():
    assert [name for name in LICENCES if not (REPOSITORY / name).is_file()] == []


def test_metadata_of_another_version_or_with_other_extras_are_named():
    text = "Metadata-Version: 2.4\nVersion: 0.1.0\nLicense-Expression: Apache-2.0\nProvides-Extra: all\n\nread me"
    assert metadata_problems(text, {"version": "0.2.0", "optional-dependencies": {"all": [], "serve": []}}) == [
        "METADATA does not have version 0.2.0",
        "METADATA has the extras ['all']",
    ]


def test_an_sdist_with_caches_or_runs_is_refused():
    listed = ["src", "tests", "benchmarks", "scripts", "configs", "deploy", "docs", "constraints.txt", "Makefile",
              "zensical.toml", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md", "README.md",
              "LICENSE", "pyproject.toml", "PKG-INFO"]  # fmt: skip
    names = [f"r1omni-0.2.0/{name}" for name in listed]
    assert sdist_problems(names, "0.2.0") == []
    assert sdist_problems([*names, "r1omni-0.2.0/runs/a", "r1omni-0.2.0/src/__pycache__/a.pyc"], "0.2.0") == [
        "the sdist holds runs, which pyproject.toml does not list",
        "the sdist holds r1omni-0.2.0/src/__pycache__/a.pyc",
    ]


def test_all_names_every_extra_that_can_be_installed_together():
    extras = project()["optional-dependencies"]
    (everything,) = extras["all"]
    assert set(everything.removeprefix("r1omni[").removesuffix("]").split(",")) == set(extras) - {
        "all", "dev", "deepspeed"
    }  # fmt: skip


def test_the_citation_has_the_version_of_the_package():
    assert f"\nversion: {version()}\n" in (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
