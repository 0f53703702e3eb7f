"""Workspaces: folders below the toolkit's home, found by a config.json."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from toolkit import (
    Keyvault,
    ProjectSystemException,
    StorageError,
    ToolkitError,
    UserErrorException,
    Workspace,
    WorkspaceException,
)
from toolkit.paths import home


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project, current and without any config.json above it."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def configured(file: Path, name: str = "mine", **more: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"workspace_name": name, **more}))
    return file


# -- create and get -----------------------------------------------------------------------------------------------


def test_create_and_get(toolkit_home: Path) -> None:
    made = Workspace.create("mine", subscription_id="s", resource_group="g")
    assert made.name == "mine" and (made.subscription_id, made.resource_group) == ("s", "g")
    assert made.paths.root == toolkit_home / "workspaces" / "mine"
    found = Workspace.get("mine")
    assert found.paths == made.paths and Workspace(workspace_name="mine").paths == made.paths
    assert (found.subscription_id, found.resource_group) == ("s", "g"), "what it was created with"
    assert repr(found) == f"Workspace(name='mine', folder='{made.paths.root}')"


def test_a_new_workspace_has_its_targets_and_nothing_else() -> None:
    made = Workspace.create("mine")
    assert {name: target.kind for name, target in made.compute_targets.items()} == {
        "local": "local", "cpu-cluster": "local", "gpu": "local", "docker": "docker",
    }  # fmt: skip
    assert made.experiments == made.environments == {}
    assert made.get_mlflow_tracking_uri() == f"sqlite:///{made.paths.mlflow_database}"


def test_the_facts_of_a_workspace() -> None:
    made = Workspace.create(
        "mine", location="eastus2", create_resource_group=True, sku="enterprise", tags={"team": 1}, friendly_name="Ours"
    )
    assert (made.location, made.sku, made.tags) == ("eastus2", "Enterprise", {"team": "1"})
    details = Workspace.get("mine").get_details()
    assert {
        "id", "name", "location", "type", "tags", "sku", "workspaceid", "description", "friendlyName", "creationTime",
        "containerRegistry", "keyVault", "applicationInsights", "storageAccount", "provisioningState", "discoveryUrl",
    } <= {*details}  # fmt: skip
    assert (details["name"], details["friendlyName"], details["provisioningState"]) == ("mine", "Ours", "Succeeded")
    assert details["creationTime"].startswith("20") and details["workspaceid"] == made.get_details()["workspaceid"]
    assert Workspace.create("mine", exist_ok=True, location="elsewhere").location == "eastus2", "it stays as it is"
    plain = Workspace.create("plain")
    assert (plain.location, plain.sku, plain.tags, plain.subscription_id) == ("local", "Basic", {}, "")


def test_update() -> None:
    made = Workspace.create("mine", location="here")
    details = made.update(description="of the team", tags={"a": "1"}, friendly_name="Ours")
    assert details == Workspace.get("mine").get_details()
    assert (details["description"], details["tags"], details["location"]) == ("of the team", {"a": "1"}, "here")


def test_what_there_is_none_of() -> None:
    made = Workspace.create("mine")
    assert made.images == made.webservices == made.linked_services == made.list_keys() == {}
    context = made.service_context
    assert (context.workspace_name, context.subscription_id) == ("mine", "")
    made.sync_keys()


def test_what_a_new_workspace_has_of_data_and_models() -> None:
    made = Workspace.create("mine")
    assert made.datasets == made.models == {}
    default = made.get_default_datastore()
    assert default.name in made.datastores
    with pytest.raises(UserErrorException):
        made.set_default_datastore("nowhere")


def test_delete(toolkit_home: Path) -> None:
    made = Workspace.create("mine")
    (made.paths.active / "exp_1_0").touch()
    with pytest.raises(WorkspaceException, match="has 1 runs that go on"):
        made.delete()
    (made.paths.active / "exp_1_0").unlink()
    made.delete(delete_dependent_resources=True, no_wait=False)
    assert not made.paths.root.exists() and Workspace.list() == {}


def test_setup(project: Path) -> None:
    assert Workspace.setup().name == "default" == Workspace.from_config().name
    configured(project / ".toolkit" / "config.json", "other")
    assert Workspace.setup().name == "other"


def test_the_errors_that_scripts_catch() -> None:
    for kind in (WorkspaceException, ProjectSystemException, UserErrorException, ToolkitError):
        with pytest.raises(kind, match="there is no workspace 'mine'") as caught:
            Workspace(subscription_id="s", resource_group="g", workspace_name="mine")
        assert caught.value.message == str(caught.value)


# -- secrets ------------------------------------------------------------------------------------------------------


def test_secrets() -> None:
    made = Workspace.create("mine")
    vault = made.get_default_keyvault()
    assert vault.list_secrets() == []
    vault.set_secret(name="token", value="päss\r\nword")
    vault.set_secrets({"other-1": "x", "token2": ""})
    assert vault.get_secret("token") == "päss\r\nword"
    assert Keyvault(Workspace.get("mine")).get_secrets(["other-1", "token2"]) == {"other-1": "x", "token2": ""}
    assert vault.list_secrets() == [{"name": "other-1"}, {"name": "token"}, {"name": "token2"}]
    file = Path(made.shared.secrets) / "token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    vault.set_secret("token", "new")
    assert vault.get_secret("token") == "new" and vault.get_secret_content_type("token") is None
    vault.delete_secret("token")
    vault.delete_secrets(["token", "token2"])
    assert vault.list_secrets() == [{"name": "other-1"}]
    assert "x" not in repr(vault)
    with pytest.raises(UserErrorException, match=r"has no secret 'token': keep one with get_default_keyvault\(\)"):
        vault.get_secret("token")


@pytest.mark.parametrize("name", ["", ".", "../token", "a/b", ".hidden", "a b", "a" * 128, None])
def test_names_of_secrets_that_are_refused(name: str) -> None:
    made = Workspace.create("mine")
    for call in (
        made.get_default_keyvault().get_secret,
        lambda name: made.get_default_keyvault().set_secret(name, "x"),
    ):
        with pytest.raises(UserErrorException, match="cannot be the name of a secret"):
            call(name)
    assert not os.path.exists(made.shared.secrets)


def test_a_secret_is_text() -> None:
    vault = Workspace.create("mine").get_default_keyvault()
    with pytest.raises(UserErrorException, match="the value of the secret 'n' is a int: it must be text"):
        vault.set_secret("n", 3)


def test_nobody_else_may_look_into_it() -> None:
    made = Workspace.create("mine")
    for folder in (home().root, made.paths.root, made.paths.runs):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700, folder


def test_create_twice() -> None:
    made = Workspace.create("mine")
    made.paths.configuration.write_text("snapshot_limit_mb: 1\n")
    with pytest.raises(UserErrorException, match=r"'mine' exists already, in .*: open it with Workspace.get\('mine'\)"):
        Workspace.create("mine")
    assert Workspace.create("mine", exist_ok=True).configuration.snapshot_limit_mb == 1, "nothing is overwritten"


def test_one_that_is_not_there() -> None:
    Workspace.create("other")
    with pytest.raises(UserErrorException) as caught:
        Workspace.get("mine")
    assert str(caught.value) == (
        "there is no workspace 'mine' on this machine; it has: other. "
        "Make it with Workspace.create('mine') or `toolkit init mine`"
    )


def test_a_file_that_v1_wrote_elsewhere(project: Path) -> None:
    Workspace.create("mine").write_config(file_name="ws_config.json")
    assert Workspace.from_config(path="./.azureml/ws_config.json").name == "mine"
    assert Workspace.from_config(_file_name="ws_config.json").name == "mine"
    with pytest.raises(UserErrorException, match="We could not find"):
        Workspace.from_config(path="./.azureml/other.json")


def test_one_that_a_script_had_in_azure_is_created(capsys: pytest.CaptureFixture[str]) -> None:
    first = Workspace.get(name="mlops", subscription_id="s", resource_group="g")
    assert (first.name, first.subscription_id, first.resource_group) == ("mlops", "s", "g")
    assert capsys.readouterr().out == f"Created the workspace 'mlops' in {first.paths.root}\n"
    assert Workspace.get("mlops", subscription_id="s", resource_group="g").paths == first.paths
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "-a", "a" * 65, None, 3])
def test_names_that_are_refused(name: str, toolkit_home: Path) -> None:
    with pytest.raises(UserErrorException, match="cannot be the name of a workspace: use 1 to 64 letters"):
        Workspace.create(name)
    assert not toolkit_home.exists()


def test_list() -> None:
    assert Workspace.list() == {}
    Workspace.create("b")
    Workspace.create("a")
    assert {name: [one.name for one in found] for name, found in Workspace.list().items()} == {"a": ["a"], "b": ["b"]}


def test_the_home_is_the_user_s_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TOOLKIT_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert home().root == tmp_path / "data" / "toolkit"
    monkeypatch.setenv("TOOLKIT_HOME", "relative")
    assert home().root == Path.cwd() / "relative"


def test_a_home_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLKIT_HOME", "/proc/nothing")
    with pytest.raises((StorageError, UserErrorException, OSError)) as caught:
        Workspace.create("mine")
    assert "/proc/nothing" in str(caught.value)


def test_a_run_that_is_not_there() -> None:
    made = Workspace.create("mine")
    for run_id in ("exp_1600000000_00000000", "../../mine", ""):
        with pytest.raises(UserErrorException, match="in the workspace 'mine'; `toolkit runs` lists them"):
            made.get_run(run_id)


# -- config.json --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place", [".toolkit/config.json", ".azureml/config.json", "aml_config/config.json", "config.json"]
)
def test_config_files_of_every_kind_are_found(place: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Workspace.create("mine")
    configured(project / place, subscription_id="s", resource_group="g")
    assert Workspace.from_config().name == "mine"
    (project / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(project / "deep" / "er")
    found = Workspace.from_config()
    assert (found.name, found.subscription_id, found.resource_group) == ("mine", "s", "g")


def test_the_nearest_and_our_own_comes_first(project: Path) -> None:
    for name in ("outer", "own", "azure", "plain"):
        Workspace.create(name)
    configured(project.parent / ".toolkit" / "config.json", "outer")
    assert Workspace.from_config().name == "outer"
    for place, name in (("config.json", "plain"), (".azureml/config.json", "azure"), (".toolkit/config.json", "own")):
        configured(project / place, name)
        assert Workspace.from_config().name == name


def test_a_path_and_a_file_name(project: Path, tmp_path: Path) -> None:
    Workspace.create("mine")
    file = configured(tmp_path / "elsewhere" / "config.json")
    assert Workspace.from_config(file).name == Workspace.from_config(str(file.parent)).name == "mine"
    configured(project / ".toolkit" / "other.json")
    assert Workspace.from_config(_file_name="other.json").name == "mine"


def test_a_workspace_that_is_not_there_is_created_and_said(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configured(project / "config.json")
    made = Workspace.from_config()
    assert capsys.readouterr().out == f"Created the workspace 'mine' in {made.paths.root}\n"
    assert made.paths.configuration.is_file()
    assert Workspace.from_config().paths == made.paths
    assert capsys.readouterr().out == "", "said once"


def test_no_config_file(project: Path) -> None:
    with pytest.raises(UserErrorException) as caught:
        Workspace.from_config()
    message = str(caught.value)
    assert message.startswith(f"We could not find config.json in: {project} or in its parent directories.")
    assert "`toolkit init NAME`" in message and '{"workspace_name": "NAME"}' in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not valid JSON: "),
        ("", "is not valid JSON: "),
        ("[]", "names no workspace: it needs "),
        ('{"subscription_id": "s"}', "names no workspace: it needs "),
        ('{"workspace_name": ""}', "names no workspace: it needs "),
        ('{"workspace_name": "../up"}', "'../up' cannot be the name of a workspace"),
    ],
)
def test_config_files_that_are_broken(text: str, words: str, project: Path, toolkit_home: Path) -> None:
    (project / "config.json").write_text(text)
    with pytest.raises(UserErrorException) as caught:
        Workspace.from_config()
    assert words in str(caught.value)
    assert not toolkit_home.exists()


def test_a_config_file_that_is_no_text(project: Path) -> None:
    (project / "config.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(UserErrorException, match="is not valid JSON"):
        Workspace.from_config()


def test_write_config(project: Path, tmp_path: Path) -> None:
    made = Workspace.create("mine", subscription_id="s")
    made.write_config()
    assert json.loads((project / ".toolkit" / "config.json").read_text()) == {
        "subscription_id": "s", "workspace_name": "mine",
    }  # fmt: skip
    assert Workspace.from_config().name == "mine"
    made.write_config(tmp_path / "other", "named.json")
    assert (tmp_path / "other" / ".toolkit" / "named.json").is_file()
    assert {path.name for path in project.rglob("*")} == {".toolkit", "config.json"}, "state never lands in the project"
