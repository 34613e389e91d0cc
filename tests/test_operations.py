"""The operator's files: they parse, and name nothing that is not there."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from compat.settings import DualSettings
from tests.fastapi_app.starting import until
from tests.metrics import Scrape
from tests.servers import ROOT, start_dual

if TYPE_CHECKING:
    from pathlib import Path

DOCS = ROOT / "docs"
METRIC = re.compile(r"\b(?:mcli|process)_[a-z0-9_]+\b")
SETTING = re.compile(r"\bMCLI_([A-Z_]+)\b")
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every name that `/metrics` of a server with some history has."""
    home = tmp_path_factory.mktemp("home")
    with start_dual(home, MCLI_DEFAULT_STAGE="shadow") as server:
        assert httpx.get(f"{server.legacy}/health", timeout=15).status_code == 200
        assert httpx.get(f"{server.new}/livez", timeout=15).status_code == 200
        until(lambda: "mcli_shadow_compared_total" in Scrape(server).names)
        found = Scrape(server).names
        assert server.stop() == 0
    return found


def rules() -> list[dict[str, Any]]:
    """The alerts."""
    groups = yaml.safe_load((DOCS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_alerts_name_metrics_there_are(names: set[str]) -> None:
    assert len(rules()) >= 10
    for rule in rules():
        assert rule.keys() >= {"alert", "expr", "labels", "annotations"}, rule
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"].keys() == {"summary", "action"}
        used = set(METRIC.findall(rule["expr"]))
        assert used <= names, rule["alert"]
        assert used or "up{" in rule["expr"], rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")"), rule["alert"]


def test_the_dashboard_names_metrics_there_are(names: set[str]) -> None:
    dashboard = json.loads((DOCS / "grafana-dashboard.json").read_text(encoding="utf-8"))
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 10
    for panel in panels:
        for target in panel["targets"]:
            used = set(METRIC.findall(target["expr"]))
            assert used, panel["title"]
            assert used <= names, panel["title"]
    for variable in dashboard["templating"]["list"]:
        assert set(METRIC.findall(str(variable["query"]))) <= names


def test_what_is_the_same_everywhere_is_never_summed() -> None:
    dashboard = json.loads((DOCS / "grafana-dashboard.json").read_text(encoding="utf-8"))
    expressions = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    expressions += [rule["expr"] for rule in rules()]
    shared = [one for one in expressions if "mcli_database_runs" in one]
    assert shared
    for expression in shared:
        assert expression.startswith("max without (instance)")


def test_the_documentation_names_metrics_there_are(names: set[str]) -> None:
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    bases = {name.removesuffix("_bucket") for name in names}
    for name in set(METRIC.findall(text)) - {"process_"}:
        assert name in bases | names, name


@pytest.mark.parametrize(
    "file", ["docs/operations.md", "docs/Containerfile", "docs/systemd/mcli.service", "SECURITY.md"]
)
def test_files_name_settings_there_are(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert {name.lower() for name in SETTING.findall(text)} <= DualSettings.model_fields.keys()


@pytest.mark.parametrize("file", ["README.md", "SECURITY.md", "CONTRIBUTING.md", *(
    f"docs/{path.name}" for path in sorted(DOCS.glob("*.md"))
)])  # fmt: skip
def test_links_lead_somewhere(file: str) -> None:
    for target in LINK.findall((ROOT / file).read_text(encoding="utf-8")):
        assert ((ROOT / file).parent / target).exists(), target


def test_the_image_copies_what_there_is_and_runs_without_root() -> None:
    text = (DOCS / "Containerfile").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    copied = [source for line in lines if line[:1] == ["COPY"] for source in line[1:-1]]
    assert {"requirements.lock", "fastapi_app", "compat", "legacy_flask", "cli"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
    (user,) = (line[1] for line in lines if line[:1] == ["USER"])
    assert user != "root"
    assert any(line[0] == "RUN" and "useradd" in line and user in line for line in lines if line)


def test_the_units_are_of_a_form_systemd_reads() -> None:
    for file in ("mcli.service", "mcli.service.d/hardening.conf"):
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str  # type: ignore[assignment, method-assign]
        unit.read(DOCS / "systemd" / file, encoding="utf-8")
        assert "Service" in unit
    service = configparser.ConfigParser(strict=False, interpolation=None)
    service.read(DOCS / "systemd/mcli.service", encoding="utf-8")
    assert service["Service"]["killmode"] == "process", "else background runs die with the server"
    assert service["Service"]["user"] != "root"
    defaults = {name: DualSettings.model_fields[name].default for name in (
        "drain_delay", "shutdown_grace", "stop_grace"
    )}  # fmt: skip
    assert int(service["Service"]["timeoutstopsec"]) > sum(defaults.values())


def test_the_bill_of_materials_has_all_that_is_pinned(tmp_path: Path) -> None:
    lock = ROOT / "requirements.lock"
    out = tmp_path / "sbom.json"
    subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / ".ci/sbom.py"), str(lock), str(out)],
        check=True,
        capture_output=True,
    )
    found = json.loads(out.read_text())
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    pinned = re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==(\S+)", lock.read_text(), re.MULTILINE)
    assert {(one["name"], one["version"]) for one in found["components"]} == set(pinned)
    assert all(one["hashes"] for one in found["components"])
