"""The modules as commands: `toolkit vision MODULE …`, and `python -m toolkit.vision MODULE …` inside a run."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from typing import Any

from toolkit.inscript.errors import ToolkitError
from toolkit.inscript.files import claim_json
from toolkit.inscript.run import Run
from toolkit.inscript.rundir import RUN_DIRECTORY
from toolkit.vision.errors import error_info, module_error
from toolkit.vision.modules import MODULES, Module
from toolkit.vision.training.launch import OUTCOME

_PACKAGES = ("torch", "torchvision", "PIL", "numpy", "yaml", "pyarrow", "matplotlib")
ERROR_INFO = "module_statistics/error_info.json"


def main(arguments: list[str] | None = None, prog: str = "python -m toolkit.vision") -> int:
    """Run a module. Exit codes: 0 done, 1 it could not be done, 2 a wrong call, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    options = vars(_parser(prog, words[0] if words else "").parse_args(words))
    module, as_json = MODULES[options.pop("module")], options.pop("json")
    try:
        with _progress(module) as progress, _answer_alone() if as_json else nullcontext():
            result = module.call(options, progress)
    except Exception as error:
        _keep_error_info(error)
        known = _in_one_sentence(error)
        if known is None:
            raise
        if OUTCOME not in os.environ:  # else it is said by the process that started this one
            text = json.dumps(error_info(error)) if as_json else f"{prog}: {known}"
            print(text, file=sys.stdout if as_json else sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("", file=sys.stderr)
        return 130
    _keep_error_info(None)
    if OUTCOME not in os.environ:
        _print(module, options, result, as_json)
    return 0


def _parser(prog: str, chosen: str) -> argparse.ArgumentParser:
    """The parser; only of the module that was chosen are the arguments made, since that imports it."""
    parser = argparse.ArgumentParser(prog=prog, description="Train networks on folders of labelled images.")
    commands = parser.add_subparsers(title="modules", metavar="MODULE", required=True, dest="module")
    for module in MODULES.values():
        if module.name != chosen:
            commands.add_parser(module.name, help=module.title)
            continue
        added = commands.add_parser(module.name, help=module.title, description=f"{module.title}: {module.summary}")
        added.add_argument("--json", action="store_true", help="print JSON, for programs")
        module.add_arguments(added)
    return parser


@contextmanager
def _answer_alone() -> Iterator[None]:
    """Let what is printed go to standard error, by processes that are started too: standard output is the answer's."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _in_one_sentence(error: Exception) -> str | None:
    """What a person is told of an error; None where only the traceback helps."""
    known = module_error(error)
    if known is not None or isinstance(error, ToolkitError):
        return str(known or error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _PACKAGES:
        return (
            f"{error.name} is not installed here: pip install 'toolkit[train]', or submit this as a step, with the "
            "environment of environments/vision-env.yml"
        )
    return None


def _progress(module: Module) -> AbstractContextManager[Any]:
    """A progress bar for a person at a terminal, where the toolkit that draws it is installed."""
    if not sys.stderr.isatty():
        return nullcontext()
    try:
        from toolkit.progress import bar
    except ImportError:
        return nullcontext()
    return bar(module.title)


def _keep_error_info(error: BaseException | None) -> None:
    """Keep with the run, if there is one, how the module ended; of several processes, the one that began does."""
    if OUTCOME in os.environ:
        if error is not None:
            claim_json(os.environ[OUTCOME], error_info(error))
    elif os.environ.get(RUN_DIRECTORY) and os.environ.get("RANK", "0") == "0":
        Run.get_context().upload_file(ERROR_INFO, io.BytesIO(json.dumps(error_info(error)).encode()))


def _print(module: Module, options: dict[str, Any], result: Any, as_json: bool) -> None:
    outputs = {one.name: options[one.name] for one in module.parameters() if one.is_output}
    if as_json:
        print(json.dumps({"module": module.name, **outputs, **getattr(result, "facts", {})}))
        return
    for line in getattr(result, "lines", []):
        print(line)
    for path in outputs.values():
        print(f"Written: {path}")
