"""What runs a stored script: the interpreter of its language, and how that is called."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence

from fastapi_app.engine.limits import SHELL
from fastapi_app.engine.process import NOT_EXECUTABLE, NOT_FOUND
from fastapi_app.errors import SpawnFailedError
from fastapi_app.models import Language

INTERPRETERS = {
    Language.SHELL: ("sh", (SHELL,)),
    Language.PYTHON: ("py", ("python3", "python")),
    Language.NODE: ("js", ("node",)),
    Language.LUA: ("lua", ("lua",)),
    Language.TYPESCRIPT: ("ts", ("node",)),
    Language.NOTEBOOK: ("ipynb", ("jupyter-nbconvert", "jupyter-execute")),
}
"""Of each language the suffix of its scripts, and the programs that run them, the best first."""
TYPESCRIPT_SINCE = (22, 6)
"""The first node that takes the types away from a program before it runs it."""

# Whether node has to be asked for it depends on its version (nodejs.org/api/typescript.html); only
# the child asks that, so that the server waits for nobody.
_TYPESCRIPT = """\
version=$("$0" --version) || exit
version=${version#v}; major=${version%%.*}; minor=${version#*.}; minor=${minor%%.*}
if [ "$major" -lt 22 ] || { [ "$major" = 22 ] && [ "$minor" -lt 6 ]; }
then echo "node $version cannot run TypeScript: that takes 22.6 or newer" >&2; exit 126
fi
if { [ "$major" = 22 ] && [ "$minor" -lt 18 ]; } || { [ "$major" = 23 ] && [ "$minor" -lt 6 ]; }
then exec "$0" --experimental-strip-types --disable-warning=ExperimentalWarning "$@"
fi
exec "$0" "$@"
"""
_VERSION = re.compile(r"v(\d+)\.(\d+)")
_ANSWERS_WITHIN = 10.0
_NBCONVERT = ("--to", "markdown", "--execute", "--stdout")


def interpreter(language: Language) -> str:
    """The first interpreter of a language on `PATH`.

    Raises:
        SpawnFailedError: there is none (127).
    """
    _, names = INTERPRETERS[language]
    for name in names:
        if found := shutil.which(name):
            return found
    raise SpawnFailedError(f"{names[0]}: interpreter not found", NOT_FOUND)


def trouble_with(language: Language) -> str:
    """Why scripts in a language cannot run on this machine; nothing when they can.

    It may ask the interpreter: not for the event loop.
    """
    if language.has_steps:
        return ""
    try:
        path = interpreter(language)
    except SpawnFailedError as error:
        return error.detail
    if language is not Language.TYPESCRIPT:
        return ""
    try:
        argv = [path, "--version"]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=_ANSWERS_WITHIN, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{path} --version: {error}"
    found = _VERSION.match(done.stdout)
    if found is None or (int(found[1]), int(found[2])) >= TYPESCRIPT_SINCE:
        return ""
    return f"node {done.stdout.strip()} cannot run TypeScript: that takes 22.6 or newer"


def called(language: Language, script: str, args: Sequence[str]) -> tuple[str, list[str]]:
    """The program to start for a script, and its argv. A notebook prints its cells with output.

    Raises:
        SpawnFailedError: there is no interpreter (127), or it is a notebook and takes no
            arguments (126).
    """
    path = interpreter(language)
    if language is Language.TYPESCRIPT:
        return SHELL, [SHELL, "-c", _TYPESCRIPT, path, script, *args]
    if language is Language.NOTEBOOK:
        if args:
            raise SpawnFailedError("a notebook takes no arguments", NOT_EXECUTABLE)
        return path, [path, *(_NBCONVERT if path.endswith("nbconvert") else ()), script]
    return path, [path, script, *args]
