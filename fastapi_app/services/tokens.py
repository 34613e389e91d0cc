"""What tokens look like: API keys, refresh tokens and access tokens; pure, no state."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass

import jwt

KEY_PREFIX = "mcli"
REFRESH_PREFIX = "mclir"
HOME_PREFIX = "mclih"
ISSUER = "mcli-dualstack"
ALGORITHM = "HS256"
HEADER = {"alg": ALGORITHM, "typ": "at+jwt"}  # RFC 9068, section 2.1
_KEY = re.compile(r"mcli_([0-9a-f]{12})_([A-Za-z0-9_-]{43})([0-9a-f]{8})")
_REFRESH = re.compile(r"mclir_([0-9a-f-]{36})_([A-Za-z0-9_-]{43})")
LONGEST = 4096
"""Characters a token may have; nobody looks at a longer one."""


class NotAToken(ValueError):  # noqa: N818 - reads as what it is
    """It cannot be one of ours; the message says why."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says. Times are Unix seconds."""

    user_id: str
    session_id: str
    expires_at: float


def new_secret() -> str:
    """43 characters of 256 random bits."""
    return secrets.token_urlsafe(32)


def new_key() -> tuple[str, str]:
    """The id of a new API key, and the key: prefix, id, secret, and a checksum of them.

    The prefix lets scanners find one that was published, and the checksum lets them, and us,
    tell one from what only looks like it without asking anybody.
    """
    key_id = secrets.token_hex(6)
    body = f"{KEY_PREFIX}_{key_id}_{new_secret()}"
    return key_id, body + _checksum(body)


def key_id_of(key: str) -> str:
    """The id in an API key.

    Raises:
        NotAToken: it has another form, or was mistyped.
    """
    if not (found := _KEY.fullmatch(key)):
        raise NotAToken("This is not the form of an API key")
    if not hmac.compare_digest(_checksum(key[:-8]).encode(), found[3].encode()):
        raise NotAToken("The API key was mistyped or cut: its checksum is wrong")
    return found[1]


def new_refresh(session_id: str) -> str:
    """A refresh token of this login."""
    return f"{REFRESH_PREFIX}_{session_id}_{new_secret()}"


def session_id_of(refresh: str) -> str:
    """The login a refresh token is of.

    Raises:
        NotAToken: it has another form.
    """
    if not (found := _REFRESH.fullmatch(refresh)):
        raise NotAToken("This is not a refresh token")
    return found[1]


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


class Signer:
    """Signs and digests with keys that all come from one `secret` of at least 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 32:
            raise ValueError("a secret has at least 32 bytes")
        self._jwt_key = hmac.digest(secret, b"access tokens", hashlib.sha256)
        self._digest_key = hmac.digest(secret, b"stored tokens", hashlib.sha256)

    def digest(self, token: str) -> str:
        """HMAC-SHA256 as 64 hexadecimal digits: what is stored instead of the token."""
        return hmac.digest(self._digest_key, token.encode(), hashlib.sha256).hex()

    def access(self, claims: Claims, now: float) -> str:
        """A JWT that lets its bearer in until it expires (RFC 9068)."""
        payload = {
            "iss": ISSUER,
            "sub": claims.user_id,
            "sid": claims.session_id,
            "iat": int(now),
            "exp": int(claims.expires_at),
            "jti": secrets.token_hex(8),
        }
        return jwt.encode(payload, self._jwt_key, ALGORITHM, headers={"typ": HEADER["typ"]})

    def claims(self, token: str) -> Claims:
        """What an access token says, when we have signed it and it holds now.

        Raises:
            NotAToken: it is forged, expired, from the future, or has another form.
        """
        try:
            whole = jwt.decode_complete(
                token,
                self._jwt_key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                options={"require": ["iss", "sub", "sid", "iat", "exp"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise NotAToken("The access token has expired") from error
        except (jwt.InvalidTokenError, RecursionError) as error:
            raise NotAToken("The access token is not one of this server's") from error
        # We write one header only: another one is another kind of token (RFC 8725, section 3.11).
        if whole["header"] != HEADER:
            raise NotAToken("The access token is of another kind")
        payload = whole["payload"]
        return Claims(str(payload["sub"]), str(payload["sid"]), float(payload["exp"]))
