"""The `Host` headers that the old stack refuses before it looks at anything else."""

from __future__ import annotations

import re

LONGEST_LABEL = 63
"""Characters between two dots of a name (RFC 1035, section 2.3.4)."""
_NAME = re.compile(rb"([a-z0-9.-]+)(?::(?!0)(\d{1,5}))?", re.IGNORECASE)


def is_refused(host: bytes) -> bool:
    """Whether it is a name with a part that is empty or too long.

    What is no name at all is taken for none, and does no harm.
    """
    if len(host) <= LONGEST_LABEL and b".." not in host and not host.startswith(b"."):
        return False
    found = _NAME.fullmatch(host)
    if found is None or int(found[2] or 1) > 65535:
        return False
    *labels, last = found[1].split(b".")
    return len(last) > LONGEST_LABEL or any(not 0 < len(it) <= LONGEST_LABEL for it in labels)
