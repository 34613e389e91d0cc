"""Settings: where they come from, and what the operator is told when one is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastapi_app.errors import SettingsError
from fastapi_app.settings import Settings


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """No setting but what the test says."""
    import os

    for name in list(os.environ):
        if name.startswith("MCLI_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MCLI_HOME", str(home))
    home.mkdir()


def test_overrides_win_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    (home / "config.toml").write_text("port = 1\nstop_grace = 2.5\ncommand_timeout = 3\n")
    monkeypatch.setenv("MCLI_PORT", "4")
    monkeypatch.setenv("MCLI_STOP_GRACE", "5")
    found = Settings.load(port=6)
    assert (found.port, found.stop_grace, found.command_timeout) == (6, 5.0, 3)
    assert (found.host, found.home) == ("127.0.0.1", home)


def test_the_home_given_decides_which_file_is_read(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (home / "config.toml").write_text("port = 1\n")
    (other / "config.toml").write_text("port = 2\n")
    assert Settings.load(home=other).port == 2
    assert Settings.load(home=other).url == f"sqlite+aiosqlite:///{other}/mcli.db"


def test_without_anything_the_home_is_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, ""):
        if value is None:
            monkeypatch.delenv("MCLI_HOME")
        else:
            monkeypatch.setenv("MCLI_HOME", value)
        assert Settings.load().home == Path("~/.mcli-dualstack").expanduser()


def test_the_home_is_absolute_whatever_was_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MCLI_HOME", "~/below")
    assert Settings.load().home == Path("~/below").expanduser()
    assert Settings.load(home="below").home == tmp_path / "below"


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCLI_PORT", "")
    monkeypatch.setenv("MCLI_DATABASE_URL", "")
    assert Settings.load().port == 8000
    assert Settings.load().url.startswith("sqlite+aiosqlite:///")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("port", "65536", "less than or equal to 65535"),
        ("port", "-1", "greater than or equal to 0"),
        ("port", "http", "valid integer"),
        ("command_timeout", "0", "greater than or equal to 1"),
        ("command_timeout", "1.5", "valid integer"),
        ("max_concurrent_commands", "0", "greater than or equal to 1"),
        ("max_queued_runs", "0", "greater than or equal to 1"),
        ("stop_grace", "-1", "greater than or equal to 0"),
        ("stop_grace", "nan", "finite number"),
        ("max_body_bytes", "1", "greater than or equal to 1024"),
        ("max_inline_output", "-1", "greater than or equal to 0"),
        ("shutdown_grace", "x", "valid number"),
        ("shutdown_grace", "inf", "finite number"),
        ("rate_limit", "quickly", "should be one rate, such as 100/second"),
        ("rate_limit", "0/second", "should be one rate"),
        ("rate_limit", "1/second;9/minute", "should be one rate"),
        ("login_rate_limit", "10", "should be one rate"),
        ("max_headers", "1", "greater than or equal to 16"),
        ("max_head_bytes", "1", "greater than or equal to 8192"),
        ("header_timeout", "0", "greater than 0"),
        ("body_timeout", "inf", "finite number"),
        ("max_connections", "0", "greater than or equal to 1"),
        ("ws_max_message", "1", "greater than or equal to 1024"),
        ("log_level", "loud", "match pattern"),
    ],
)
def test_a_wrong_value_is_named_with_its_setting(
    monkeypatch: pytest.MonkeyPatch, home: Path, name: str, value: str, why: str
) -> None:
    monkeypatch.setenv(f"MCLI_{name.upper()}", value)
    with pytest.raises(SettingsError) as told:
        Settings.load()
    for part in (f"MCLI_{name.upper()}", name, why, value):
        assert part in str(told.value)
    assert "\n" not in str(told.value)
    monkeypatch.delenv(f"MCLI_{name.upper()}")
    (home / "config.toml").write_text(f'{name} = "{value}"\n')
    with pytest.raises(SettingsError, match=name):
        Settings.load()


def test_a_password_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCLI_REDIS_URL", "http://:s3cret@127.0.0.1")
    with pytest.raises(SettingsError, match=r"MCLI_REDIS_URL .*, not what is set$") as told:
        Settings.load()
    assert "s3cret" not in str(told.value)


def test_every_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCLI_PORT", "x")
    monkeypatch.setenv("MCLI_LOG_LEVEL", "x")
    with pytest.raises(SettingsError, match=r"MCLI_PORT.*MCLI_LOG_LEVEL"):
        Settings.load()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"port = ", "is not TOML: "),
        (b"\xff", "is not TOML: "),
        (b"prot = 1\n", "unknown setting 'prot'"),
        (b"[server]\nport = 1\n", "unknown setting 'server'"),
    ],
)
def test_a_broken_file_is_named(home: Path, content: bytes, why: str) -> None:
    file = home / "config.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as told:
        Settings.load()
    assert str(file) in str(told.value)
    assert why in str(told.value)


def test_a_file_that_cannot_be_read_is_named(home: Path) -> None:
    (home / "config.toml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        Settings.load()


def test_an_override_nobody_knows_is_refused() -> None:
    unknown: dict[str, Any] = {"prot": 1}
    with pytest.raises(SettingsError, match="prot"):
        Settings.load(**unknown)


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_a_secret_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCLI_OTEL_ENDPOINT", "ftp://user:hunter2@host")
    with pytest.raises(SettingsError, match=r"MCLI_OTEL_ENDPOINT.*redacted") as told:
        Settings.load()
    assert "hunter2" not in str(told.value)
