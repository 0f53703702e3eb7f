"""The `toolkit` command. Every sub-command has `--json` for programs; what people read is drawn by rich."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import cli_compute
from toolkit.errors import ToolkitError, UserErrorException, WorkspaceException
from toolkit.progress import spinner

if TYPE_CHECKING:
    from toolkit.run import Run
    from toolkit.workspace import Workspace


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Exit codes: 0 done, 1 it could not be done, 2 a wrong call, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["vision"]:  # its commands are made from the modules that they call
        from toolkit.vision.command import main as vision

        return vision(words[1:], "toolkit vision")
    if words[:1] == ["exec"]:  # what follows belongs to the script
        from toolkit import cli_exec

        return cli_exec.main(words[1:])
    parser = _parser()
    options, more = parser.parse_known_args(words)
    if more and getattr(options, "settings", None) is None:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    try:
        if more:
            cli_compute.complete(options, more)
        return int(options.action(options) or 0)
    except ToolkitError as error:
        if options.json:
            print(json.dumps({"error": type(error).__name__, "message": str(error)}))
        else:
            print(f"toolkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON, for programs")
    common.add_argument("-w", "--workspace", help="the workspace; default: what the project's config.json names")
    parser = argparse.ArgumentParser(prog="toolkit", description="Submit training scripts and see how they do.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, action: Callable[[argparse.Namespace], int | None], help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, parents=[common], help=help, description=help)
        added.set_defaults(action=action)
        return added

    added = command("init", _init, "make a workspace, and the config.json that names it in this folder")
    added.add_argument("name", nargs="?", help="default: the name of this folder")
    added = command("runs", _runs, "list the runs, the newest first")
    added.add_argument("-e", "--experiment", help="of this experiment only")
    added.add_argument("-n", "--limit", type=int, default=20, help="how many (default 20; 0 for all)")
    _run_argument(command("show", _show, "show a run: status, metrics, files, how long each phase took"))
    added = command("logs", _logs, "print the logs of a run")
    _run_argument(added)
    added.add_argument("-f", "--follow", action="store_true", help="go on until the run has ended")
    _run_argument(command("cancel", _cancel, "cancel a run"), "; without one nothing is cancelled")
    added = command("ui", _ui, "start the MLflow UI and print its URL")
    added.add_argument("--port", type=int, help="the port to listen on; default: a free one")
    command("stop", _stop, "stop the MLflow UI and the agent; runs go on")
    added = command("import", _import, "take an offline run into a workspace")
    added.add_argument("run", help="OfflineRun_…, as Run.get_context().id said")
    added.add_argument("-e", "--experiment", default="offline", help="the experiment it joins (default: offline)")
    _environment_arguments(command("environment", _environment_command, "list, lock, build or explain environments"))
    cli_compute.arguments(command("compute", _compute, "list, add or remove the compute targets of the workspace"))
    commands.add_parser("exec", help="run a control script of Azure ML SDK v1 as it is: `toolkit exec SCRIPT.py`")
    added = command("migrate", _migrate, "rewrite the azureml imports of scripts and notebooks; shows the diff first")
    added.add_argument("paths", nargs="+", metavar="PATH", help="folders, .py files or .ipynb notebooks")
    added.add_argument("--write", action="store_true", help="change the files")
    commands.add_parser("vision", help="train networks on folders of labelled images: `toolkit vision --help`")
    command("doctor", _doctor, "say what this machine offers, and what would add what is missing")
    return parser


def _run_argument(parser: argparse.ArgumentParser, default: str = "; default: the newest run") -> None:
    parser.add_argument("run", nargs="?", help=f"the run id, its beginning or its end{default}")


def _environment_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("list", "lock", "build", "explain"), help="what to do")
    parser.add_argument("environment", nargs="?", help="an environment.yml, a requirements.txt, or a registered name")
    parser.add_argument("-o", "--output", help="lock: the file to write; default: FILE.lock.json beside FILE")
    parser.add_argument("--gpu", action="store_true", help="lock: for runs with a GPU")
    parser.add_argument("--image", action="store_true", help="lock: for container images")
    parser.add_argument("--upgrade", action="store_true", help="lock: solve anew, for the versions of today")
    parser.add_argument("-t", "--target", help="build, explain: the compute target; default: docker where it answers")


def _workspace(options: argparse.Namespace) -> Workspace:
    from toolkit.workspace import Workspace

    if options.workspace:
        return Workspace.get(options.workspace)
    with redirect_stdout(sys.stderr):  # it says so where it creates the workspace: that is not the answer
        return Workspace.from_config()


def _workspace_if_any(options: argparse.Namespace) -> Workspace | None:
    """The workspace that is named, or that this folder's project has; none is made."""
    from toolkit.inscript import workspace_config
    from toolkit.workspace import Workspace

    if options.workspace:
        return Workspace.get(options.workspace)
    try:
        return Workspace.get(workspace_config.read(workspace_config.find(os.getcwd()))["workspace_name"])
    except (UserErrorException, WorkspaceException):
        return None


def _all_runs(workspace: Workspace, experiment: str | None = None) -> list[str]:
    """Run ids, the newest first: the submit time is in the id."""
    ids = [
        run_id
        for found in workspace.experiments.values()
        if experiment in (None, found.name)
        for run_id in found.run_ids()
        if os.path.exists(workspace.paths.run(run_id).definition)
    ]
    return sorted(ids, key=lambda run_id: os.stat(workspace.paths.run(run_id).definition).st_mtime_ns, reverse=True)


def _run(options: argparse.Namespace) -> Run:
    workspace = _workspace(options)
    ids = _all_runs(workspace)
    if not options.run:
        if not ids:
            raise UserErrorException(f"the workspace '{workspace.name}' has no runs yet")
        return workspace.get_run(ids[0])
    exact = [run_id for run_id in ids if run_id == options.run]
    near = exact or [run_id for run_id in ids if run_id.startswith(options.run) or run_id.endswith(options.run)]
    if len(near) != 1:
        what = "there is no run" if not near else f"{len(near)} runs are called"
        raise UserErrorException(
            f"{what} '{options.run}' in the workspace '{workspace.name}'; `toolkit runs` lists them"
        )
    return workspace.get_run(near[0])


def _init(options: argparse.Namespace) -> None:
    from toolkit.workspace import Workspace

    name = options.name or options.workspace or Path.cwd().name
    workspace = Workspace.create(name, exist_ok=True)
    workspace.write_config()
    facts = {"workspace": workspace.name, "folder": str(workspace.paths.root), "config": ".toolkit/config.json"}
    _print(options, facts, f"Workspace '{name}' is in {workspace.paths.root}\n.toolkit/config.json names it here")


def _summary(run: Run) -> dict[str, Any]:
    detailed = run.get_detailed_status()
    definition = run._definition()
    return {
        "run": run.id,
        "experiment": run.experiment.name,
        "number": run.number,
        "status": detailed["status"],
        "reason": detailed["details"],
        "target": definition.get("target"),
        "submitted": definition.get("submitted"),
    }


def _runs(options: argparse.Namespace) -> None:
    workspace = _workspace(options)
    ids = _all_runs(workspace, options.experiment)
    shown = ids[: options.limit or None]
    rows = [_summary(workspace.get_run(run_id)) for run_id in shown]
    if options.json:
        print(json.dumps(rows))
        return
    if not rows:
        print(f"The workspace '{workspace.name}' has no runs yet: submit one with Experiment(...).submit(...)")
        return
    from rich.table import Table

    table = Table("run", "status", "target", "submitted", "why", box=None, header_style="bold")
    for row in rows:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["submitted"]))
        why = row["reason"].splitlines()[0] if row["reason"] else ""
        table.add_row(row["run"], _coloured(row["status"]), row["target"], when, why)
    _print_table(table)
    if len(ids) > len(shown):
        print(f"… and {len(ids) - len(shown)} older ones: `toolkit runs -n 0` lists all")


def _show(options: argparse.Namespace) -> None:
    run = _run(options)
    details = run.get_details()
    facts = {
        **_summary(run),
        "number": run.number,
        "source_directory": run._definition().get("source_directory"),
        "script": details["runDefinition"]["script"] or details["runDefinition"]["command"],
        "arguments": details["runDefinition"]["arguments"],
        "environment": details["environment"],
        "phases": details["phases"],
        "metrics": run.get_metrics(),
        "tags": run.get_tags(),
        "files": run.get_file_names(),
        "folder": run.directory.root,
    }
    if options.json:
        print(json.dumps(facts, default=str))
        return
    from rich.table import Table

    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in facts.items():
        table.add_row(key, _readable(key, value))
    _print_table(table)


def _readable(key: str, value: Any) -> str:
    from rich.markup import escape

    if key == "status":
        return _coloured(value)
    if key == "submitted":
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    if key == "phases":
        return ", ".join(f"{name} {seconds:.2f} s" for name, seconds in value.items())
    if key == "environment":
        return escape("\n".join(_environment(value)))
    if key == "metrics":
        return "\n".join(escape(f"{name}: {_short(found)}") for name, found in value.items())
    if isinstance(value, list):
        return escape(" ".join(map(str, value)) if key == "arguments" else "\n".join(map(str, value)))
    if isinstance(value, dict):
        return escape(", ".join(f"{name}={found}" for name, found in value.items()))
    return escape("" if value is None else str(value))


def _environment(facts: dict[str, Any]) -> list[str]:
    """What a run got for its environment, a line a fact."""
    names = (("interpreter", "interpreter"), ("image", "image"), ("lock_hash", "lock"))
    lines = [f"{name} {facts[key]}" for key, name in names if key in facts]
    if "torch" in facts:
        lines.append(f"torch ({facts['torch']['variant']}): {facts['torch']['reason']}")
    return [*lines, *facts.get("notices", [])]  # a substitution is among the notices


def _short(value: Any) -> str:
    """A metric in one line: of a long list, its ends."""
    if isinstance(value, list) and len(value) > 6:
        return f"{', '.join(map(_short, value[:3]))}, … {', '.join(map(_short, value[-2:]))} ({len(value)} values)"
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_short(found)}" for name, found in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _logs(options: argparse.Namespace) -> None:
    from toolkit import stream

    run = _run(options)
    if options.json:
        print(json.dumps({"run": run.id, "logs": run.get_details_with_logs()["logFiles"]}))
        return
    ended = run._ended if options.follow else lambda: True
    stream.print_logs(run.directory, ended, sys.stdout)


def _cancel(options: argparse.Namespace) -> None:
    if not options.run:
        raise UserErrorException("say which run: `toolkit cancel RUN`; `toolkit runs` lists them")
    run = _run(options)
    before = run.get_status()
    run.cancel()
    after = run.get_status()
    ended = before in ("Completed", "Failed", "Canceled")
    text = f"{run.id} had ended already: {before}" if ended else f"{run.id} is being cancelled"
    _print(options, {"run": run.id, "status": after, "requested": not ended}, text)


def _ui(options: argparse.Namespace) -> None:
    from toolkit import portal
    from toolkit.agent import server

    workspace = _workspace(options)
    if options.port is not None and not 0 < options.port < 65536:
        raise UserErrorException(f"--port {options.port} is no port: it is a number from 1 to 65535")
    if options.port:
        server.ensure(workspace.paths, options.port, wait=False)
    with spinner("Starting the MLflow UI"):
        url = portal.base_url(workspace.paths)
    url += f"/#/experiments{portal.VIEW}"
    _print(options, {"url": url, "tracking_uri": workspace.get_mlflow_tracking_uri()}, url)


def _stop(options: argparse.Namespace) -> None:
    from toolkit.agent import server, wake

    workspace = _workspace(options)
    going = sorted(path.name for path in workspace.paths.active.iterdir())
    stopped = [
        name
        for name, done in (("MLflow UI", server.stop(workspace.paths)), ("agent", wake.stop(workspace.paths)))
        if done
    ]
    text = f"Stopped: {', '.join(stopped)}" if stopped else "Nothing was running"
    if going:
        text += f"\n{len(going)} runs have not ended; what runs goes on, and the next toolkit command looks after them"
    _print(options, {"stopped": stopped, "active_runs": going}, text)


def _import(options: argparse.Namespace) -> None:
    from toolkit.experiment import Experiment

    run = Experiment(_workspace(options), options.experiment).import_offline_run(options.run)
    _print(options, {"run": run.id, "experiment": options.experiment}, f"{run.id} is in '{options.experiment}' now")


def _environment_command(options: argparse.Namespace) -> None:
    from toolkit import cli_environment

    cli_environment.run(options, _workspace)


def _migrate(options: argparse.Namespace) -> int:
    from toolkit.cli_migrate import run

    return run(options.paths, options.write, options.json)


def _compute(options: argparse.Namespace) -> None:
    cli_compute.run(options, _workspace(options))


def _doctor(options: argparse.Namespace) -> None:
    from toolkit.doctor import examine

    with spinner("Looking at this machine"):
        findings = examine(_workspace_if_any(options))
    if options.json:
        print(json.dumps([finding.__dict__ for finding in findings]))
        return
    from rich.table import Table

    table = Table(box=None, show_header=False)
    for finding in findings:
        mark = "[green]yes[/]" if finding.found else "[yellow]no[/]"
        table.add_row(finding.what, mark, finding.detail if finding.found else finding.remedy)
    _print_table(table)


# -- how it looks -----------------------------------------------------------------------------------------------


def _print(options: argparse.Namespace, facts: dict[str, Any], text: str) -> None:
    print(json.dumps(facts) if options.json else text)


def _print_table(table: Any) -> None:
    """Print a table; where nobody sees its width, without the blanks that rich fills its lines with."""
    console = _console()
    if sys.stdout.isatty():
        console.print(table)
        return
    with console.capture() as drawn:
        console.print(table)
    print("\n".join(line.rstrip() for line in drawn.get().splitlines()))


def _console() -> Any:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def _coloured(status: str) -> str:
    colour = {"Completed": "green", "Failed": "red", "Canceled": "yellow", "Running": "cyan"}.get(status)
    return f"[{colour}]{status}[/]" if colour else status


if __name__ == "__main__":
    sys.exit(main())
