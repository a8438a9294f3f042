"""The versions that the project promises are those that it tests, and stand in every place."""

from __future__ import annotations

import re

import pytest
import yaml
from helpers.paths import ROOT
from helpers.requirements import PROJECT
from packaging.requirements import Requirement
from packaging.version import Version

import lightning_topolip

NOT_NEEDED_TO_RUN = ("dev", "docs")
RUNTIME = [
    Requirement(text)
    for extra, texts in {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}.items()
    for text in texts
    if extra not in NOT_NEEDED_TO_RUN
]


def pins(name: str) -> dict[str, set[Version]]:
    found: dict[str, set[Version]] = {}
    for package, version in re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE):
        found.setdefault(package.lower(), set()).add(Version(version))
    return found


@pytest.mark.parametrize("requirement", RUNTIME, ids=lambda requirement: requirement.name)
def test_the_lowest_versions_are_tested(requirement: Requirement) -> None:
    (bound,) = requirement.specifier
    assert bound.operator == ">="
    assert pins("constraints-lowest.txt")[requirement.name.lower()] == {Version(bound.version)}


@pytest.mark.parametrize("requirement", RUNTIME, ids=lambda requirement: requirement.name)
def test_the_pinned_versions_are_allowed(requirement: Requirement) -> None:
    versions = pins("constraints.txt")[requirement.name.lower()]
    assert versions == set(requirement.specifier.filter(versions))


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == lightning_topolip.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["references"][0]["url"] == PROJECT["urls"]["Paper"]


def test_hosted_ci_calls_what_anyone_can_call() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())["jobs"]
    matrix = jobs["make"]["strategy"]["matrix"]
    targets = {*matrix["target"], *(entry["target"] for entry in matrix["include"])}
    makefile = (ROOT / "Makefile").read_text()
    assert targets <= set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    listed = re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
    assert matrix["python"] == listed
