"""`mclictl process`: processes that the server looks after."""

from __future__ import annotations

import shlex
from typing import Any
from urllib.parse import quote

import click
from rich.text import Text

from cli import names, output
from cli.client import Client, Json
from cli.ended import ALIVE
from cli.live import process_events, process_logs
from cli.output import Column
from cli.process_options import described, process_options
from cli.verb import Noun, Target, json_option, url_option
from cli.watching import shown

PROCESSES = "/api/v1/daemon/processes"
STATES = (
    "created", "starting", "running", "backoff", "exited", "stopped", "failed", "gave_up",
)  # fmt: skip
STYLES = {
    "running": "green",
    "starting": "cyan",
    "backoff": "yellow",
    "stopped": "magenta",
    "failed": "red",
    "gave_up": "red",
    "unhealthy": "red",
    "healthy": "green",
}


name_argument = click.argument("name", shell_complete=names.processes)
names_argument = click.argument(
    "names", metavar="NAME...", nargs=-1, required=True, shell_complete=names.processes
)


def _styled(name: str) -> Column:
    def show(process: Json) -> Text:
        word = process.get(name)
        return Text(str(word or "-"), style=STYLES.get(str(word), ""))

    return Column(name.upper(), show)


def _what(process: Json) -> str:
    args: list[str] = process["args"]
    return shlex.join([process["command"], *args]) if args else str(process["command"])


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


COLUMNS = [
    Column("NAME", "name"),
    _styled("state"),
    _styled("health"),
    Column("PID", "pid", right=True),
    Column("UPTIME", lambda p: output.duration(p.get("uptime_seconds")), right=True),
    Column("RESTARTS", "restarts", right=True),
    Column("CPU", lambda p: _number(p.get("cpu_percent"), "{:.1f} %"), right=True),
    Column("MEMORY", lambda p: _number(p.get("memory_mb"), "{:.1f} MiB"), right=True),
    Column("COMMAND", _what, shrinks=True),
]


def process_path(name: str) -> str:
    """Path of one process, by its name or its id."""
    return f"{PROCESSES}/{quote(name, safe='')}"


@click.group(
    cls=Noun,
    invoke_without_command=True,
    examples=[
        "mclictl process",
        'mclictl process run web --restart always --health-url http://127.0.0.1:8080/ "make web"',
        "mclictl process logs -f web",
    ],
)
@click.pass_context
def process(ctx: click.Context) -> None:
    """List the processes the server looks after; make, start, stop, follow and remove them."""
    if ctx.invoked_subcommand is None:
        _list(ctx.ensure_object(Target), ())


process.params += [json_option(), url_option()]


def _list(target: Target, states: tuple[str, ...]) -> None:
    with Client(target.url) as client:
        found, _ = client.collect(PROCESSES, state=states or None)
    if target.json:
        output.print_json(found)
    else:
        output.table(found, COLUMNS, empty="no processes")


def _print(target: Target, found: list[Json]) -> None:
    if target.json:
        output.print_json(found if len(found) != 1 else found[0])
    else:
        output.table(found, COLUMNS, empty="")


@process.command(
    "list",
    examples=[
        "mclictl process list",
        "mclictl process list --state gave_up --json",
        "mclictl process list --watch",
    ],
)
@click.option("--state", type=click.Choice(STATES), multiple=True, help="May be repeated.")
@click.option(
    "-w", "--watch", is_flag=True, help="Show them live, until Ctrl-C; to a program, each change."
)
@click.pass_obj
def list_(target: Target, state: tuple[str, ...], watch: bool) -> None:
    """List processes, oldest first; --json prints a list, with --watch a message on each line."""
    if not watch or (output.terminal() and not target.json):
        shown(lambda: _list(target, state), watch=watch)
        return
    with Client(target.url) as client:
        for message in process_events(client):
            if target.json:
                output.print_json_line(message)
            elif message["type"] == "snapshot":
                found = [p for p in message["processes"] if not state or p["state"] in state]
                output.table(found, COLUMNS, empty="no processes")
            else:
                _print_change(message, state)


def _print_change(message: Json, states: tuple[str, ...]) -> None:
    if message["type"] == "removed":
        click.echo(f"{message['timestamp']}  {message['id']}  removed")
        return
    now: Json = message["process"]
    if not states or now["state"] in states:
        words = [now["name"], now["state"], now["health"], now["pid"], now["reason"]]
        told = "  ".join(output.plain(word).plain for word in words if word is not None)
        click.echo(f"{message['timestamp']}  {told}")


@process.command(
    "create",
    examples=[
        'mclictl process create web --restart always --autostart "python3 -m http.server 8080"',
        "mclictl process create backup --cwd /srv -- rsync -a data/ /backup/",
    ],
)
@click.argument("name")
@click.argument("command")
@click.argument("args", nargs=-1)
@process_options
@click.pass_obj
def create(target: Target, /, name: str, command: str, args: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401
    """Describe the process NAME, and start nothing.

    COMMAND is run by a shell; with ARGS it is a program. Options of it go behind `--`.
    """
    body = {"name": name, "command": command, "args": list(args)} | described(given)
    with Client(target.url) as client:
        _print(target, [client.send("POST", PROCESSES, body)])


@process.command(
    "run",
    examples=[
        'mclictl process run web --restart always "python3 -m http.server 8080"',
        'mclictl process run import --wait "make import"',
    ],
)
@click.argument("name")
@click.argument("command")
@click.argument("args", nargs=-1)
@process_options
@click.option("--wait", is_flag=True, help="Wait for its end, print its output, pass its code on.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    name: str,
    command: str,
    args: tuple[str, ...],
    wait: bool,
    **given: Any,  # noqa: ANN401 - the values of the options that describe it
) -> None:
    """Make the process NAME and start it."""
    target = ctx.ensure_object(Target)
    body = {"name": name, "command": command, "args": list(args)} | described(given)
    with Client(target.url) as client:
        done = client.send("POST", f"{PROCESSES}/run", body | {"detach": not wait}, patient=wait)
    if target.json or not wait:
        _print(target, [done])
    else:
        output.write_text(done["output"])
        output.write_text(done["error"], err=True)
    if wait:
        code = done["returncode"]
        ctx.exit(125 if code is None else code if code >= 0 else 128 - code)


@process.command("show", examples=["mclictl process show web", "mclictl process show web --json"])
@name_argument
@click.pass_obj
def show(target: Target, name: str) -> None:
    """Show everything about the process NAME (or id)."""
    with Client(target.url) as client:
        found = client.get(process_path(name))
    if target.json:
        output.print_json(found)
        return
    shown = dict(found)
    for key in ("created_at", "started_at", "finished_at"):
        shown[key.removesuffix("_at")] = output.moment(shown.pop(key))
    shown["uptime"] = output.duration(shown.pop("uptime_seconds"))
    output.details(shown)


@process.command("start", examples=["mclictl process start web worker"])
@names_argument
@click.pass_obj
def start(target: Target, names: tuple[str, ...]) -> None:
    """Start processes, at once when they wait for a restart; what runs goes on."""
    _each(target, names, "start")


@process.command("stop", examples=["mclictl process stop web"])
@names_argument
@click.pass_obj
def stop(target: Target, names: tuple[str, ...]) -> None:
    """Stop processes, SIGKILL after the grace period; they stay stopped until you start them."""
    _each(target, names, "stop")


@process.command("kill", examples=["mclictl process kill web"])
@names_argument
@click.pass_obj
def kill(target: Target, names: tuple[str, ...]) -> None:
    """Stop processes with SIGKILL."""
    _each(target, names, "kill")


@process.command("restart", examples=["mclictl process restart web"])
@names_argument
@click.pass_obj
def restart(target: Target, names: tuple[str, ...]) -> None:
    """Stop processes and start them again, as they are described now."""
    _each(target, names, "restart")


def _each(target: Target, names: tuple[str, ...], verb: str) -> None:
    with Client(target.url) as client:
        _print(
            target,
            [client.send("POST", f"{process_path(name)}/{verb}", patient=True) for name in names],
        )


@process.command("rm", examples=["mclictl process rm web", "mclictl process rm --yes web worker"])
@names_argument
@click.option("-y", "--yes", is_flag=True, help="Kill what runs, and do not ask.")
@click.pass_obj
def rm(target: Target, names: tuple[str, ...], yes: bool) -> None:
    """Forget processes; their runs and output stay. Asks when one runs."""
    with Client(target.url) as client:
        known = [client.get(process_path(name)) for name in names]
        found = list({each["id"]: each for each in known}.values())
        alive = [each for each in found if each["state"] in ALIVE]
        if alive and not yes:
            told = ", ".join(f"{each['name']} is {each['state']}" for each in alive)
            click.confirm(f"{told}. Kill and remove?", abort=True, err=True)
        for each in found:
            force = "true" if each in alive else None
            client.send("DELETE", process_path(each["id"]), force=force)
            if not target.json:
                click.echo(f"removed {each['name']}")
    if target.json:
        output.print_json({"removed": [each["name"] for each in found]})


@process.command(
    "logs",
    examples=["mclictl process logs web", "mclictl process logs -f --lines 0 web"],
)
@name_argument
@click.option("--lines", type=click.IntRange(0, 1_000_000), default=100, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="Go on until it stays as it is.")
@click.option(
    "--stream",
    type=click.Choice(["stdout", "stderr", "all"]),
    default="all",
    show_default=True,
    help="With `all`, what went to stderr is written to stderr.",
)
@click.pass_obj
def logs(target: Target, name: str, lines: int, follow: bool, stream: str) -> None:
    """Print the last lines of the latest life of the process NAME; --json prints events.

    --follow goes on across restarts of the process, and of the server.
    """
    with Client(target.url) as client:
        path = process_path(name)
        if follow:  # by its id: another may get its name
            events = process_logs(client, process_path(client.get(path)["id"]), lines, stream)
        else:
            events = client.events("GET", f"{path}/logs", lines=lines, stream=stream)
        if target.json and not follow:
            output.print_json_list(events)
            return
        for event in events:
            if target.json:
                output.print_json_line(event)
            elif event.get("type") == "log":
                output.write_log(event, split=stream == "all")


@process.command(
    "edit",
    examples=[
        "mclictl process edit web --restart on-failure --env LEVEL=debug",
        'mclictl process edit web --command "python3 -m http.server 9090"',
        "mclictl process edit web --no-health",
    ],
)
@name_argument
@click.option("--command", metavar="TEXT", help="What a shell runs from its next start on.")
@click.option("--no-health", is_flag=True, help="Check its health no more.")
@process_options
@click.pass_obj
def edit(
    target: Target,
    /,
    name: str,
    command: str | None,
    no_health: bool,
    **given: Any,  # noqa: ANN401 - the values of the options that describe it
) -> None:
    """Change the process NAME: its policy at once, what it runs from its next start on."""
    with Client(target.url) as client:
        body = described(given, client.get(process_path(name)))
        if command is not None:
            body |= {"command": command, "args": []}
        if no_health:
            body["health"] = None
        if not body:
            raise click.UsageError("Say what to change; --help lists the options.")
        _print(target, [client.send("PATCH", process_path(name), body)])
