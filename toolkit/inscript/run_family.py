"""The family of a run: its parent, and the children that it logs or submits."""

import os
from typing import Any, Dict, Iterator, List, Optional

from toolkit.inscript import elsewhere, logged_run
from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.run_metrics import RunMetrics
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.values import warn_once
from toolkit.inscript.wake import wake_agent_of
from toolkit.inscript.workspace_directory import WorkspaceDirectory

MOST_CHILDREN = 10000  # in one call of create_children


class RunFamily(RunMetrics):
    """The part of a run that knows its relatives."""

    _parent: Any = None  # one object, so that steps count on

    @property
    def type(self) -> Optional[str]:
        """What kind of run it is: "azureml.scriptrun", "hyperdrive", … None for one that was not submitted."""
        kind = self._definition().get("type")
        return str(kind) if kind else None

    @property
    def parent(self) -> Any:
        """The run that this one is a child of, or None."""
        parent = self._definition().get("parent")
        if parent and self._parent is None:
            self._parent = self._relative(str(parent))
        return self._parent

    def _relative(self, run_id: str) -> Any:
        """Another run of the workspace, as an object of this one's kind."""
        directory, own = directory_of(self._directory, run_id), self._directory.outermost
        where = elsewhere.place(WorkspaceDirectory(own.workspace))
        if where and directory.outermost.root != own.root:
            from toolkit.inscript.distant_run import DistantRun

            return DistantRun(own, run_id, where)
        return type(self)(directory)

    def child_run(
        self, name: Optional[str] = None, run_id: Optional[str] = None, outputs: Optional[object] = None
    ) -> Any:
        """A new child that this process logs: it is running at once, until `complete()`, `fail()` or the process ends.

        Args:
            name: its display name.
            run_id: the end of its id, which begins with this run's; random by default.
            outputs: not used, and said: `child.upload_folder("outputs", path)` keeps a folder.
        """
        if outputs is not None:
            warn_once("outputs", "child_run(outputs=%r) keeps nothing: child.upload_folder does" % (outputs,))
        if run_id and run_id.startswith(self.id):
            run_id = run_id[len(self.id) :].lstrip("._-")
        directory = logged_run.child_directory(self._directory, run_id or None)
        if os.path.exists(directory.root):
            raise UserErrorException(
                "the run %s has a child '%s' already: use another run_id" % (self.id, directory.id)
            )
        mine = self._definition()
        definition = {
            "experiment": mine.get("experiment"),
            "workspace": mine.get("workspace"),
            "parent": self.id,
            "target": "sdk",
            "environment": mine.get("environment"),
            "snapshot": mine.get("snapshot"),
            "user": mine.get("user"),
        }
        if name:
            definition["display_name"] = str(name)
        logged_run.create(directory, definition)
        self._announce(directory)
        return self._relative(directory.id)

    def create_children(
        self, count: Optional[int] = None, tag_key: Optional[str] = None, tag_values: Optional[List[Any]] = None
    ) -> List[Any]:
        """Several children at once: `count` of them, or one for each of `tag_values`, which has it as its tag.

        Raises:
            UserErrorException: neither or both of `count` and the two for tags.
        """
        if (count is None) == (tag_key is None) or (tag_key is None) != (tag_values is None):
            raise UserErrorException("create_children takes a count, or a tag_key with tag_values")
        values = list(tag_values) if tag_values is not None else [None] * int(count or 0)
        if len(values) > MOST_CHILDREN:
            raise UserErrorException("create_children makes at most %d runs in one call" % MOST_CHILDREN)
        made = []
        for value in values:
            child = self.child_run()
            if tag_key is not None:
                child.tag(tag_key, value)
            made.append(child)
        return made

    def submit_child(self, config: Any, tags: Optional[Dict[str, str]] = None, **kwargs: Any) -> Any:
        """Submit a child run from inside this one. The script's environment needs the whole toolkit for that."""
        return self._whole("run.submit_child(...)").submit_child(config, tags, **kwargs)

    def get_children(
        self,
        recursive: bool = False,
        tags: Optional[Any] = None,
        properties: Optional[Any] = None,
        type: Optional[str] = None,
        status: Optional[str] = None,
        _rehydrate_runs: bool = True,
    ) -> Iterator[Any]:
        """The children of the run, the newest first; with `recursive`, theirs as well.

        Args:
            tags, properties: one that a run must have, or several by name with their values.
            type: a run type, as `Run.type` says.
            status: a status, as "Completed".
        """
        for run_id in reversed(logged_run.children(self._directory)):
            child = self._relative(run_id)
            if not os.path.exists(child._directory.definition):
                continue  # being made, or in a place that this process cannot see
            if (
                type in (None, child.type)
                and status in (None, child.get_status())
                and (not tags or matches(child.get_tags(), tags))
                and (not properties or matches(child.get_properties(), properties))
            ):
                yield child
            if recursive:
                for grandchild in child.get_children(True, tags, properties, type, status):
                    yield grandchild

    def get_metrics(
        self,
        name: Optional[str] = None,
        recursive: bool = False,
        run_type: Optional[str] = None,
        populate: bool = False,
    ) -> Dict[str, Any]:
        """What was logged so far, in the shapes that `toolkit.inscript.metrics.collect` describes.

        Args:
            recursive: `{run id: metrics}` of this run and all its descendants.
            run_type: of runs of this type only.
            populate: put in the content of confusion matrices and the like, in place of their artifacts' names.
        """
        self.flush()
        if not recursive:
            return self._metrics(name, populate) if run_type in (None, self.type) else {}
        family = [self] + list(self.get_children(recursive=True))
        return {run.id: run._metrics(name, populate) for run in family if run_type in (None, run.type)}

    def _announce(self, directory: RunDirectory) -> None:
        """Let the agent know that there is news of a logged run."""
        wake_agent_of(directory.outermost)

    def _whole(self, wanted: str) -> Any:
        """This run as control scripts see it.

        Raises:
            UserErrorException: the script's environment does not have the whole toolkit, or not the workspace's folder.
        """
        from toolkit.inscript.workspace import NeedsToolkit

        try:
            return self.experiment.workspace.get_run(self.id)  # type: ignore[attr-defined]
        except NeedsToolkit as error:
            raise UserErrorException("%s: %s" % (wanted, error))


def directory_of(relative: RunDirectory, run_id: str) -> RunDirectory:
    """The run directory of any run of the workspace that `relative` is in."""
    return RunDirectory(logged_run.path_of(os.path.dirname(relative.outermost.root), run_id))


def matches(found: Dict[str, str], wanted: Any) -> bool:
    """Whether `found` has the key `wanted`, or all keys of the dictionary `wanted` with their values."""
    pairs = wanted if isinstance(wanted, dict) else {wanted: None}
    return all(key in found and (value is None or found[key] == str(value)) for key, value in pairs.items())
