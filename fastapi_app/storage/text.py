"""What text a database can hold, and therefore find."""

from __future__ import annotations


def storable(*texts: str | None) -> bool:
    """Whether rows can hold these: no database takes lone surrogates, and PostgreSQL no NUL."""
    for text in texts:
        if text is None:
            continue
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
        if "\0" in text:
            return False
    return True
