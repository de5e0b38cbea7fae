"""Links resolve, Python blocks compile, constraints pin the declared dependencies, the pages match the code."""

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file(page: Path):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (page.parent / link).exists()] == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the site makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    words = (re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower() for heading in headings)
    return {re.sub(r"[-\s]+", "-", name) for name in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_into_a_page_leads_to_a_heading(page: Path):
    links = re.findall(r"\]\(([\w./-]*\.md)?#([\w-]+)\)", page.read_text(encoding="utf-8"))
    assert [
        f"{name}#{anchor}" for name, anchor in links if anchor not in anchors(page.parent / name if name else page)
    ] == []


def test_the_sites_navigation_has_every_page_once():
    site = tomllib.loads((REPOSITORY / "zensical.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"[\w-]+\.md", str(site["nav"]))
    assert sorted(named) == sorted(page.name for page in (REPOSITORY / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_compile(page: Path):
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        compile(block, str(page), "exec")


def test_constraints_pin_every_declared_dependency():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    names = {re.split(r"[<>=\[ ]", line)[0].lower() for line in declared} - {"r1omni"}
    pinned = re.findall(r"^([\w.-]+)==", (REPOSITORY / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert names <= {name.lower() for name in pinned}


def test_every_make_target_is_described():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    listed = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split()
    assert set(listed) == set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))


def test_readme_and_contributing_list_every_room_once():
    rooms = sorted(path.parent.name for path in (REPOSITORY / "src" / "r1omni").glob("*/__init__.py"))
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^      (\w+)/ ", readme, re.MULTILINE)) == rooms
    contributing = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| \d \| `(\w+)/` \|", contributing, re.MULTILINE)) == rooms


def test_a_file_name_occurs_once_in_the_package():
    names = Counter(path.name for path in (REPOSITORY / "src" / "r1omni").rglob("*.py") if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_floors_in_contributing_are_those_that_are_checked():
    contributing = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    floors: dict[str, set[str]] = {}
    for floor, room in re.findall(r"^\| (\d) \| `(\w+)/` \|", contributing, re.MULTILINE):
        floors.setdefault(floor, set()).add(room)
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert [set(re.split(r" \| ", layer)) for layer in settings["contracts"][0]["layers"]] == list(floors.values())


def test_files_of_the_reading_order_exist():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    order = readme.partition("A reading order")[2].partition("How the rooms")[0]
    named = re.findall(r"`(\w+/\w+\.py)`", order)
    assert len(named) >= 6
    assert [name for name in named if not (REPOSITORY / "src" / "r1omni" / name).is_file()] == []
