"""Settings of the dual server: those of the new app, and where and how the old contract listens."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from compat.stages import Stage
from fastapi_app.settings import HostNames, Listed, Settings

NO_SOCKET = "off"
SOCKET = "legacy.sock"


def _addresses(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(ip_address(text)) for text in texts)


class DualSettings(Settings):
    """Both stacks in one process."""

    legacy_host: str = Field("127.0.0.1", description="Address the old contract listens on")
    legacy_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        5005, description="Port of the old contract; 0 takes a free one"
    )
    legacy_socket: str | None = Field(
        None,
        description="Path of a unix socket of the old contract; off: none;"
        " default: legacy.sock in the home folder",
    )
    legacy_allowed_hosts: HostNames = Field(
        (), description="Names besides localhost under which the old contract may be asked"
    )
    legacy_proxies: Annotated[Listed, AfterValidator(_addresses)] = Field(
        (), description="Addresses of proxies that may pass calls on to the old contract"
    )
    legacy_remote: bool = Field(
        False,
        description="Whether the old contract may be served beyond loopback, to who has the token",
    )
    legacy_token: SecretStr | None = Field(
        None,
        description="Token that calls of the old contract must carry, 32 characters or more",
    )
    legacy_threads: Annotated[int, Field(ge=1, le=1000)] = Field(
        32, description="Threads of the mounted old stack"
    )
    legacy_queue: Annotated[int, Field(ge=0)] = Field(
        256, description="Calls that may wait for such a thread; one more is shed with 503"
    )
    default_stage: Literal[Stage.LEGACY, Stage.SHADOW, Stage.NEW] = Field(
        Stage.NEW, description="Stage of every route that was never set: legacy, shadow or new"
    )
    allow_stack_header: bool = Field(
        False,
        description="Whether X-Mcli-Stack: legacy or new picks the stack of a call, for tests",
    )
    shadow_slots: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="Shadowed calls that are tried on the new stack at once"
    )
    shadow_queue: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1000, description="Shadowed calls that may wait for that; one more is dropped, and counted"
    )
    shadow_timeout: Annotated[float, Field(gt=0, le=600)] = Field(
        10.0, description="Seconds the new stack may take in the shadow before it counts as hung"
    )

    @property
    def socket_path(self) -> Path | None:
        """Where the unix socket of the old contract is, if there is to be one."""
        if self.legacy_socket == NO_SOCKET:
            return None
        if self.legacy_socket is None:
            return self.home / SOCKET
        return Path(self.legacy_socket).expanduser().absolute()
