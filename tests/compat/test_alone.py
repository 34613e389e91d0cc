"""The migration can end: without the old stack and the layer between, the new app works."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers import ROOT, environment

GONE = ["legacy_flask", "compat", "cli/cutover.py", "cli/rollout.py", "cli/prove.py"]
GONE += ["cli/old_routes.py", "tests/compat", "tests/contract"]
GONE += ["tests/legacy_flask", "tests/loadtests", "tests/cli/test_cutover.py"]
GONE += ["tests/cli/test_rollout.py", "tests/cli/test_prove.py"]
ROUTES = ["commands", "daemon", "execute", "groups", "openapi", "runs", "scheduler", "workflows"]
KEPT = [f"tests/fastapi_app/routers/test_{name}.py" for name in ROUTES]
KEPT += ["tests/cli/test_run.py"]


def test_the_new_app_passes_its_own_tests_alone(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in tracked:
        if any(name == gone or name.startswith(f"{gone}/") for gone in GONE):
            continue
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tree / name)
    # An installed checkout would lend the packages that are to be gone.
    forget = f"import sys; sys.path = [path for path in sys.path if path != {str(ROOT)!r}]\n"
    (tree / "sitecustomize.py").write_text(forget)
    find = "import importlib.util as u; print(u.find_spec('compat'), u.find_spec('cli').origin)"
    env = environment(tmp_path) | {"PYTHONPATH": str(tree)}
    found = subprocess.run(
        [sys.executable, "-c", find], cwd=tree, env=env, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["None", str(tree / "cli/__init__.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *KEPT],
        cwd=tree,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
