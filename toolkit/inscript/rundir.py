"""The run directory: every file of a run, who writes it, and the names that users' scripts depend on.

run.json                        the definition, written once at submit
events.jsonl                    status by status, appended by the agent (its first line by submit)
cancel.json                     somebody asked to cancel: the first request is kept
environment.json                the interpreter and lock that the run got, by the agent
plan.json                       the exact command, by the target
environ.json                    the submitter's environment variables, deleted as soon as the script has them
handle.json                     the engine's own name for the run, by the agent
engine.json                     what the engine says of it (see `toolkit.targets.engine_state`), by the target
started.json  script.json       by the launcher: that it lives, and that the script does
exit.json                       by the launcher, once: how the script ended
heartbeat  launcher.lock        touched and held by the launcher while it lives
attempts/<n>/                   the four lines above of earlier attempts; see `toolkit.inscript.attempts`
checkpoints/                    what the script keeps from one attempt to the next
tracking.json                   how far MLflow has it, by the tracker
spool/*.jsonl                   what scripts logged, append-only, one file a process
artifacts/                      what scripts uploaded
children.txt                    the ids of runs that were submitted as children, one a line
children/<id>/                  run directories of children that are logged by a process and not submitted
relatives/<id>/                 what a script on another machine writes to its parent, until the parent has it
requests/                       what the script asks of its workspace, and the answers; see `toolkit.inscript.requests`
data/                           links and copies of inputs, and outputs until they are in their datastore
outputs.json                    what has become of the outputs, written once when all is done
azureml-logs/                   build, control and driver logs
work/                           the working copy: outputs/ and logs/ are in it
"""

import os

RUN_DIRECTORY = "TOOLKIT_RUN_DIR"  # set in the environment of every process of a submitted run


class RunDirectory:
    """Names every file of one run."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.id = os.path.basename(root.rstrip(os.sep))

    def __repr__(self) -> str:
        return "RunDirectory(%r)" % self.root

    @property
    def outermost(self) -> "RunDirectory":
        """The run directory that this one is in: its own, or that of the run whose logged child it is."""
        root = self.root
        while os.path.basename(os.path.dirname(root)) == "children":
            root = os.path.dirname(os.path.dirname(root))
        return RunDirectory(root)

    @property
    def workspace(self) -> str:
        """The folder of the workspace."""
        return os.path.dirname(os.path.dirname(self.outermost.root))

    def _at(self, *names: str) -> str:
        return os.path.join(self.root, *names)

    @property
    def definition(self) -> str:
        return self._at("run.json")

    @property
    def events(self) -> str:
        return self._at("events.jsonl")

    @property
    def cancel(self) -> str:
        return self._at("cancel.json")

    @property
    def environment(self) -> str:
        return self._at("environment.json")

    @property
    def git_diff(self) -> str:
        return self._at("git.diff")

    @property
    def plan(self) -> str:
        return self._at("plan.json")

    @property
    def environ(self) -> str:
        return self._at("environ.json")

    @property
    def handle(self) -> str:
        return self._at("handle.json")

    @property
    def engine(self) -> str:
        return self._at("engine.json")

    @property
    def attempts(self) -> str:
        return self._at("attempts")

    @property
    def checkpoints(self) -> str:
        return self._at("checkpoints")

    @property
    def script(self) -> str:
        return self._at("script.json")

    @property
    def started(self) -> str:
        return self._at("started.json")

    @property
    def exit(self) -> str:
        return self._at("exit.json")

    @property
    def heartbeat(self) -> str:
        return self._at("heartbeat")

    @property
    def launcher_lock(self) -> str:
        return self._at("launcher.lock")

    @property
    def tracking(self) -> str:
        return self._at("tracking.json")

    @property
    def spool(self) -> str:
        return self._at("spool")

    @property
    def children(self) -> str:
        return self._at("children")

    @property
    def relatives(self) -> str:
        return self._at("relatives")

    @property
    def submitted_children(self) -> str:
        return self._at("children.txt")

    @property
    def artifacts(self) -> str:
        return self._at("artifacts")

    @property
    def logs(self) -> str:
        """The folder of the run's own logs; the script's `logs/` is in `work`."""
        return self._at("azureml-logs")

    @property
    def build_log(self) -> str:
        return self._at("azureml-logs", "20_image_build_log.txt")

    @property
    def control_log(self) -> str:
        return self._at("azureml-logs", "60_control_log.txt")

    @property
    def driver_log(self) -> str:
        return self._at("azureml-logs", "70_driver_log.txt")

    @property
    def work(self) -> str:
        return self._at("work")

    @property
    def outputs(self) -> str:
        return self._at("work", "outputs")

    @property
    def kept_outputs(self) -> str:
        return self._at("outputs.json")

    @property
    def script_logs(self) -> str:
        return self._at("work", "logs")
