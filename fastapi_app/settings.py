"""Settings of the new app, from the environment (`MCLI_*`) and `config.toml` in the home folder."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

from limits import parse_many
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from fastapi_app.errors import SettingsError
from fastapi_app.hosts import checked_names, checked_origins
from fastapi_app.observability import is_secret, without_secrets

PREFIX = "MCLI_"
CONFIG_FILE = "config.toml"
SECRET = frozenset({"database_url", "legacy_token", "redis_url", "secret_key"})
"""Settings that are or may hold a secret: neither shown, nor left to commands that print them."""


def default_home() -> Path:
    """`$MCLI_HOME`, else `~/.mcli-dualstack`."""
    return Path(os.environ.get("MCLI_HOME") or "~/.mcli-dualstack").expanduser()


def _listed(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]
"""Texts with commas or spaces between them; in the file also a list."""
HostNames = Annotated[Listed, AfterValidator(checked_names)]


def _rate(text: str) -> str:
    if text not in OFF:
        try:
            amounts = [rate.amount for rate in parse_many(text)]
        except ValueError:
            amounts = []
        if len(amounts) != 1 or not amounts[0]:
            raise ValueError("should be one rate, such as 100/second or 10/minute, or off")
    return text


OFF = frozenset({"", "off"})
Rate = Annotated[str, AfterValidator(_rate)]
"""A number of requests in a time, in the words of the library `limits`, or one of `OFF`."""


class Settings(BaseSettings):
    """Every setting, its default and its unit. `MCLI_PORT=9000` sets `port`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    # Absolute, because children start in other folders than the server's.
    home: Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())] = Field(
        default_factory=default_home, description="Folder of all state", validate_default=True
    )
    host: str = Field("127.0.0.1", description="Address the new API listens on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8000, description="Port of the new API; 0 takes a free one"
    )
    allowed_hosts: HostNames = Field(
        (), description="Names besides localhost under which the new API may be asked"
    )
    allowed_origins: Annotated[Listed, AfterValidator(checked_origins)] = Field(
        (), description="Origins of other sites whose pages may use the new API"
    )
    workflows_dir: Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())] = (
        Field(
            Path("~/.mcli/workflows"),
            description="Folder of scripts that is synchronised with the stored commands",
            validate_default=True,
        )
    )
    database_url: str | None = Field(
        None,
        description="SQLAlchemy URL (sqlite+aiosqlite, postgresql+asyncpg); "
        "default: mcli.db in the home folder",
    )
    command_timeout: Annotated[int, Field(ge=1, le=31_536_000)] = Field(
        300, description="Seconds a command may take that a client waits for"
    )
    max_concurrent_commands: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1024, description="Runs that may be running at once; others wait in the queue"
    )
    max_queued_runs: Annotated[int, Field(ge=1)] = Field(
        100_000, description="Runs that may wait; one more is refused with 503"
    )
    stop_grace: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = Field(
        5.0, description="Seconds between SIGTERM and SIGKILL"
    )
    max_log_bytes: Annotated[int, Field(ge=1024)] = Field(
        2 * 1024**3, description="Bytes of each stream of a run that are kept; the rest is cut"
    )
    log_compress_after: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        86_400, description="Seconds after which the log of an ended run is compressed; 0: never"
    )
    log_retention: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        30 * 86_400, description="Seconds the logs of ended runs are kept; 0: without end"
    )
    log_retention_runs: Annotated[int, Field(ge=0)] = Field(
        1_000_000, description="Ended runs whose logs are kept, the latest; 0: all"
    )
    log_retention_bytes: Annotated[int, Field(ge=0)] = Field(
        20 * 1024**3, description="Bytes all logs may have before the oldest go; 0: any"
    )
    audit_retention: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        365 * 86_400, description="Seconds an entry of the audit log is kept; 0: without end"
    )
    send_timeout: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = Field(
        20.0, description="Seconds a live reader may take nothing before it is dropped"
    )
    max_body_bytes: Annotated[int, Field(ge=1024)] = Field(
        16 * 1024 * 1024, description="Largest request body, in bytes"
    )
    max_headers: Annotated[int, Field(ge=16, le=10_000)] = Field(
        200, description="Most headers of a request; one more is refused with 431"
    )
    max_head_bytes: Annotated[int, Field(ge=8192, le=16 * 1024 * 1024)] = Field(
        256 * 1024, description="Largest head of a request (request line and headers), in bytes"
    )
    header_timeout: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = Field(
        10.0, description="Seconds the head of a request may take, also from the connect on"
    )
    body_timeout: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = Field(
        30.0, description="Seconds in which a body must end, or go on by 500 bytes for each of them"
    )
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000, description="Connections at once, of both ports; one more gets 503 and is closed"
    )
    ws_max_message: Annotated[int, Field(ge=1024)] = Field(
        1024 * 1024, description="Largest message a WebSocket client may send, in bytes"
    )
    rate_limit: Rate = Field(
        "100/second",
        description="Requests of one principal or address to one route, as 100/second; off: any",
    )
    login_rate_limit: Rate = Field(
        "10/minute",
        description="Log-ins, and refreshes of tokens, from one address; off: any",
    )
    redis_url: Annotated[str, Field(pattern="^(rediss?|unix)://")] | None = Field(
        None,
        description="Redis that rate limits are counted in, the same for every process, as "
        "redis://host:6379/0; default: in the memory of each process",
    )
    max_inline_output: Annotated[int, Field(ge=0)] = Field(
        1024 * 1024, description="Bytes of each stream an answer of /api/v1 carries itself"
    )
    shutdown_grace: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        10.0, description="Seconds answers in flight may take after SIGTERM"
    )
    secret_key: Annotated[SecretStr | None, Field(min_length=32)] = Field(
        None,
        description="What tokens are signed with, at least 32 characters, the same for all servers"
        " on one database; default: the file secret in the home folder",
    )
    access_lifetime: Annotated[float, Field(ge=10, le=86_400, allow_inf_nan=False)] = Field(
        900.0, description="Seconds until an access token of a login has to be refreshed"
    )
    session_lifetime: Annotated[float, Field(ge=60, allow_inf_nan=False)] = Field(
        30 * 86_400, description="Seconds until a login ends, however often it is refreshed"
    )
    drain_delay: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = Field(
        0.0,
        description="Seconds after SIGTERM in which the server still takes connections while "
        "/readyz says 503, for a load balancer to notice",
    )
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = Field(
        "info", description="What the server says: debug, info, warning or error"
    )
    log_format: Annotated[str, Field(pattern="^(auto|console|json)$")] = Field(
        "auto",
        description="How it says it: console, json, or auto: console on a terminal, else json",
    )
    access_log: Annotated[str, Field(pattern="^(all|failures|off)$")] = Field(
        "failures",
        description="Answers of the new API that get a line in the log: all, failures (status 500 "
        "and above) or off",
    )
    otel_endpoint: Annotated[str, Field(pattern=r"^https?://[^/\s]+")] | None = Field(
        None,
        description="OTLP/HTTP address that spans of requests go to, as http://127.0.0.1:4318 "
        "(extra otel); none are made without it",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Overrides win over the environment, and that over the file."""
        home = Path(init_settings().get("home") or default_home()).expanduser()
        from_file = InitSettingsSource(settings_cls, init_kwargs=read_config(home, settings_cls))
        return init_settings, env_settings, from_file

    @property
    def url(self) -> str:
        """The database, with the default filled in."""
        return self.database_url or f"sqlite+aiosqlite:///{self.home / 'mcli.db'}"

    @property
    def logs_dir(self) -> Path:
        return self.home / "logs"

    @property
    def work_dir(self) -> Path:
        return self.home / "work"

    @classmethod
    def load(cls, **overrides: Any) -> Self:  # noqa: ANN401 - values as the user gave them
        """Read all sources.

        Raises:
            SettingsError: naming each wrong setting, what it was and what it should be.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise SettingsError([_explain(problem) for problem in error.errors()]) from None


def read_config(home: Path, settings: type[BaseSettings]) -> dict[str, Any]:
    """The settings in the home folder's file; keys the class does not know are an error."""
    path = home / CONFIG_FILE
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise SettingsError([f"{path} cannot be read: {error.strerror}"]) from None
    except ValueError as error:
        raise SettingsError([f"{path} is not TOML: {error}"]) from None
    if unknown := sorted(content.keys() - settings.model_fields.keys()):
        raise SettingsError([f"{path}: unknown setting {name!r}" for name in unknown])
    return content


def _explain(problem: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    name = ".".join(str(part) for part in problem["loc"])
    given = (
        "what is set"
        if name in SECRET or is_secret(name)
        else without_secrets(repr(problem["input"]))
    )
    return f"{PREFIX}{name.upper()} ({name}): {problem['msg']}, not {given}"
