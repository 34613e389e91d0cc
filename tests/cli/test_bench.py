"""`mclictl bench compare`: what it shows, when it fails, and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Mclictl

NOWHERE = "http://127.0.0.1:1"
OLD = {"status/shim": 10.0, "execute/shim": 3.0, "boot/memory/shim": 0.5, "only old/shim": 1.0}
NEW = {"status/shim": 11.0, "execute/shim": 2.4, "boot/memory/shim": 0.5, "only new/shim": 1.0}


def report(file: Path, ratios: dict[str, float], **more: Any) -> str:  # noqa: ANN401 - JSON
    """Write a report of `make bench`, as far as it matters here."""
    spreads = {key: {"median": v, "lowest": v, "highest": v} for key, v in ratios.items()}
    rates = [
        {"row": key.split("/")[0], "contestant": "shim", "throughput": {"median": 100 * value}}
        for key, value in ratios.items()
    ]
    about = {"quick": False, "machine": {"processors": 2}}
    file.write_text(json.dumps({"about": about, "ratios": spreads, "rows": rates} | more))
    return str(file)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    return report(tmp_path / "old.json", OLD), report(tmp_path / "new.json", NEW)


def test_ratios_are_compared_without_a_server(mclictl: Mclictl, files: tuple[str, str]) -> None:
    done = mclictl("bench", "compare", *files, MCLI_URL=NOWHERE)
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["ROW", "OLD", "NEW", "NEW/OLD"]
    assert [line.split() for line in lines[:3]] == [
        ["status/shim", "10.00", "11.00", "1.10"],
        ["execute/shim", "3.00", "2.40", "0.80"],
        ["boot/memory/shim", "0.50", "0.50", "1.00"],
    ]
    assert lines[3:] == [
        f"only in {files[0]}: only old/shim",
        f"only in {files[1]}: only new/shim",
    ]
    assert done.stderr == ""


def test_it_fails_below_what_it_is_told(mclictl: Mclictl, files: tuple[str, str]) -> None:
    done = mclictl("bench", "compare", *files, "--fail-below", "0.9", exits=1)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("execute/shim")]
    assert line.split()[-2:] == ["0.80", "BELOW"]
    assert done.stdout.splitlines()[-1] == "1 of 3 below 0.9"
    mclictl("bench", "compare", *files, "--fail-below", "0.8")
    for wrong in ("0", "-1", "x"):
        assert (
            "--fail-below"
            in mclictl("bench", "compare", *files, "--fail-below", wrong, exits=2).stderr
        )


def test_programs_get_json(mclictl: Mclictl, files: tuple[str, str]) -> None:
    found = mclictl.json("bench", "compare", *files, "--fail-below", "0.9", exits=1)
    assert (found["compared"], found["fail_below"], found["passed"]) == ("ratios", 0.9, False)
    assert [row["key"] for row in found["rows"] if row["below"]] == ["execute/shim"]
    assert found["rows"][0] == {
        "key": "status/shim",
        "old": 10.0,
        "new": 11.0,
        "change": 1.1,
        "below": False,
    }
    assert (found["only_old"], found["only_new"]) == (["only old/shim"], ["only new/shim"])
    assert mclictl.json("bench", "compare", *files)["passed"] is True


def test_rates_are_compared_when_asked(
    mclictl: Mclictl, tmp_path: Path, files: tuple[str, str]
) -> None:
    found = mclictl.json("bench", "compare", *files, "--throughput")
    assert found["compared"] == "throughput"
    assert (found["rows"][0]["old"], found["rows"][0]["new"]) == (1000, 1100)
    elsewhere = report(tmp_path / "x.json", NEW, about={"quick": True, "machine": {}})
    warned = mclictl("bench", "compare", files[0], elsewhere, "--throughput").stderr
    assert "Warning: only one of them is a short run." in warned
    assert "Warning: they are from different machines" in warned
    assert "machines" not in mclictl("bench", "compare", files[0], elsewhere).stderr


def test_what_was_nothing_has_no_share(mclictl: Mclictl, tmp_path: Path) -> None:
    files = (
        report(tmp_path / "old.json", {"a/shim": 0.0}),
        report(tmp_path / "new.json", {"a/shim": 1.0}),
    )
    found = mclictl.json("bench", "compare", *files, "--fail-below", "0.9")
    assert found["rows"][0]["change"] is None
    assert mclictl("bench", "compare", *files).stdout.splitlines()[1].split()[-1] == "-"


def test_what_cannot_be_compared_is_told(
    mclictl: Mclictl, tmp_path: Path, files: tuple[str, str]
) -> None:
    old, _ = files
    assert "nope.json" in mclictl("bench", "compare", old, "nope.json", exits=2).stderr
    wrong = tmp_path / "wrong.json"
    for content, said in (
        ("", "is not JSON"),
        ("[1]", "is no report of `make bench`"),
        ("{}", "it has no ratios"),
        ('{"ratios": {"status/shim": {"median": NaN}}}', "it has no ratios"),
        ('{"ratios": {"status/shim": {"median": "1"}}}', "it has no ratios"),
        ('{"ratios": []}', "it has no ratios"),
        ('{"ratios": {}}', "nothing in common"),
    ):
        wrong.write_text(content)
        stderr = mclictl("bench", "compare", old, str(wrong), exits=1).stderr
        assert said in stderr
        assert "wrong.json" in stderr
    # A baseline holds ratios, and no rates.
    stderr = mclictl("bench", "compare", old, str(wrong), "--throughput", exits=1).stderr
    assert "it has no rates" in stderr
    wrong.write_bytes(b"\xff\xfe")
    assert "is not JSON" in mclictl("bench", "compare", old, str(wrong), exits=1).stderr
