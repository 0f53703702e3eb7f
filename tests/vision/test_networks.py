"""DenseNet, ResNet and Network: what they write, where weights come from, and what they refuse."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
import yaml

from tests.rig.tiny_networks import CLASS, write_sources
from toolkit.inscript.errors import UserErrorException
from toolkit.vision.errors import FailedToDownloadFilesError
from toolkit.vision.networks import making as untrained
from toolkit.vision.networks import weights
from toolkit.vision.networks.model_directory import load_untrained
from toolkit.vision.networks.untrained import densenet, network, resnet


class _Hostile:
    """A pickle that would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def _files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def _resnet18_weights(path: Path, num_classes: int = 1000) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    state = torchvision.models.resnet18(num_classes=num_classes).state_dict()
    torch.save(state, path)
    return dict(state)


def test_untrained_densenet_has_the_designers_layout(tmp_path: Path) -> None:
    densenet(tmp_path / "model", "densenet121", pretrained=False, memory_efficient=True)
    assert _files(tmp_path / "model") == ["_meta.yaml", "model_spec.yaml"]
    meta = yaml.safe_load((tmp_path / "model" / "_meta.yaml").read_text())
    assert meta == {"type": "UntrainedModelDirectory", "model": "model_spec.yaml", "extension": {}}
    spec = yaml.safe_load((tmp_path / "model" / "model_spec.yaml").read_text())
    assert spec["flavor"] == {"name": "pytorch", "serialization_method": "state_dict"}
    assert spec["task_type"] == "MultiClassification"
    assert spec["flavor_extras"]["init_params"] == {"memory_efficient": True}
    built = load_untrained(tmp_path / "model").build(3)
    assert isinstance(built, torchvision.models.DenseNet)
    assert built.features.denseblock1.denselayer1.memory_efficient
    assert built.classifier.out_features == 3


def test_seed_decides_the_weights_of_a_network_that_is_not_pretrained(tmp_path: Path) -> None:
    resnet(tmp_path / "model", "resnet18", pretrained=False, zero_init_residual=True)
    found = load_untrained(tmp_path / "model")
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(found.build(4).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["conv1.weight"], states[2]["conv1.weight"])
    assert not states[0]["layer1.0.bn2.weight"].any()


def test_defaults_are_the_designers() -> None:
    import inspect

    defaults = {
        function.__name__: [one.default for one in list(inspect.signature(function).parameters.values())[1:]]
        for function in (densenet, resnet)
    }
    assert defaults == {
        "densenet": ["densenet201", True, False, None],
        "resnet": ["resnext101_32x8d", True, False, None],
    }


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserErrorException, match=r"densenet122.*densenet121"):
        densenet(tmp_path / "model", "densenet122", pretrained=False)  # type: ignore[arg-type]
    with pytest.raises(UserErrorException, match="'efficientnet_b9'; near it: efficientnet_b"):
        network(tmp_path / "model", "efficientnet_b9")
    with pytest.raises(UserErrorException, match="no classifier 'fcn_resnet50'"):
        network(tmp_path / "model", "fcn_resnet50")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "no JSON"), ("[1]", "JSON object"), ('{"num_classes": 3}', "comes from the training data")],
)
def test_init_params_are_checked(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UserErrorException, match=reason):
        network(tmp_path / "model", "resnet18", init_params=text)


def test_init_params_that_the_network_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(UserErrorException, match=r"resnet18 cannot be made.*'colour'"):
        network(tmp_path / "model", "resnet18", init_params='{"colour": 3}')
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("squeezenet1_1", 32),
        ("mobilenet_v3_small", 32),
        ("shufflenet_v2_x0_5", 32),
        ("mnasnet0_5", 32),
        ("efficientnet_b0", 32),
        ("regnet_y_400mf", 32),
        ("googlenet", 64),
    ],
)
def test_families_of_torchvision_get_a_fresh_head(tmp_path: Path, name: str, size: int) -> None:
    """Weights of another number of classes come back, but for the head, and one plain tensor comes out in training."""
    torch.manual_seed(0)
    more = {"init_weights": True} if name == "googlenet" else {}
    source = torchvision.models.get_model(name, weights=None, num_classes=17, **more)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    network(tmp_path / "model", name, weights_path=tmp_path / "weights.pth")
    torch.manual_seed(1)
    built = load_untrained(tmp_path / "model").build(3)
    own, given = built.state_dict(), source.state_dict()
    fresh = [key for key in own if own[key].shape != given[key].shape or not torch.equal(own[key], given[key])]
    assert 1 <= len(fresh) <= 2
    assert all(own[key].shape[0] == 3 for key in fresh)
    assert built.training
    assert built(torch.zeros(2, 3, size, size)).shape == (2, 3)


def test_auxiliary_heads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserErrorException, match="without its auxiliary heads"):
        network(tmp_path / "model", "inception_v3", init_params='{"aux_logits": true}')


def test_local_weights_are_kept_and_the_head_is_fresh_even_for_as_many_classes(tmp_path: Path) -> None:
    given = _resnet18_weights(tmp_path / "weights.pt", num_classes=10)
    resnet(tmp_path / "model", "resnet18", weights_path=tmp_path / "weights.pt")
    (tmp_path / "weights.pt").unlink()
    torch.manual_seed(1)
    own = load_untrained(tmp_path / "model").build(10).state_dict()
    differ = {name for name in own if not torch.equal(own[name], given[name])}
    assert differ == {"fc.weight", "fc.bias"}


def test_checkpoint_of_a_wrapped_network_gives_its_weights(tmp_path: Path) -> None:
    state = torchvision.models.resnet18(num_classes=5).state_dict()
    wrapped = {f"module._orig_mod.{name}": value for name, value in state.items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, tmp_path / "checkpoint.pth")
    resnet(tmp_path / "model", "resnet18", weights_path=tmp_path / "checkpoint.pth")
    assert torch.equal(load_untrained(tmp_path / "model").build(2).state_dict()["conv1.weight"], state["conv1.weight"])


def test_old_names_of_densenets_published_weights_are_understood(tmp_path: Path) -> None:
    state = torchvision.models.densenet121(num_classes=5).state_dict()
    old = {
        re.sub(r"(denselayer\d+)\.(norm|conv)([12])\.", r"\1.\2.\3.", name): value
        for name, value in state.items()
        if "num_batches_tracked" not in name
    }
    torch.save(old, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    densenet(tmp_path / "model", "densenet121", weights_path=tmp_path / "old.pth")
    own = load_untrained(tmp_path / "model").build(2).state_dict()
    name = "features.denseblock2.denselayer3.norm2.weight"
    assert name not in old
    assert torch.equal(own[name], state[name])


def test_weights_of_another_network_are_refused_by_name_and_shape(tmp_path: Path) -> None:
    _resnet18_weights(tmp_path / "weights.pth")
    with pytest.raises(UserErrorException, match=r"missing: layer1\.2\.conv1\.weight"):
        resnet(tmp_path / "model", "resnet34", weights_path=tmp_path / "weights.pth")
    state = torchvision.models.resnet18().state_dict()
    torch.save({**state, "conv1.weight": torch.zeros(64, 1, 7, 7), "more": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserErrorException, match=r"unknown: more; other shapes: conv1.weight is 64x1x7x7 and must be"):
        resnet(tmp_path / "model", "resnet18", weights_path=tmp_path / "other.pth")
    assert not (tmp_path / "model").exists()


def _whole_module(path: Path) -> None:
    torch.save(torchvision.models.squeezenet1_1(), path)


def _no_tensors(path: Path) -> None:
    torch.save({"learning rate": 0.1}, path)


def _list_of_tensors(path: Path) -> None:
    torch.save([torch.zeros(1)], path)


def _garbage(path: Path) -> None:
    path.write_bytes(b"not weights at all" * 100)


def _empty(path: Path) -> None:
    path.touch()


def _cut_short(path: Path) -> None:
    _resnet18_weights(path)
    path.write_bytes(path.read_bytes()[:1000_000])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_whole_module, "its pickle asks for torchvision.models.squeezenet.SqueezeNet.*nothing in it was executed"),
        (_no_tensors, "learning rate are no tensors"),
        (_list_of_tensors, "holds a list"),
        (_garbage, "garbage|cannot be read|no state dict"),
        (_empty, "cannot be read"),
        (_cut_short, "cannot be read"),
    ],
)
def test_files_that_are_no_state_dict_are_refused(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    make(tmp_path / "weights.pth")
    with pytest.raises(UserErrorException, match=reason):
        network(tmp_path / "model", "squeezenet1_1", weights_path=tmp_path / "weights.pth")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("plain", [False, True])
def test_hostile_pickle_is_never_executed(tmp_path: Path, plain: bool) -> None:
    content = {"conv1.weight": _Hostile(tmp_path / "executed")}
    if plain:
        (tmp_path / "weights.pth").write_bytes(pickle.dumps(content))
    else:
        torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(UserErrorException, match="nothing in it was executed"):
        resnet(tmp_path / "model", "resnet18", weights_path=tmp_path / "weights.pth")
    assert not (tmp_path / "executed").exists()


# -- a class of the user's ----------------------------------------------------------------------------------------


def test_own_class_and_its_modules_travel_with_the_directory(tmp_path: Path) -> None:
    sources = write_sources(tmp_path / "sources")
    network(tmp_path / "model", CLASS, source_directory=sources, init_params='{"width": 6}')
    assert _files(tmp_path / "model") == [
        "_meta.yaml", "code/nets.py", "code/parts/__init__.py", "code/parts/blocks.py", "model_spec.yaml",
    ]  # fmt: skip
    for path in sorted(sources.rglob("*.py")):
        path.unlink()
    built = load_untrained(tmp_path / "model").build(5)
    assert built.out.weight.shape == (5, 6)
    assert built(torch.zeros(2, 3, 8, 8)).shape == (2, 5)
    assert not list((tmp_path / "model").rglob("__pycache__"))


def test_two_classes_of_one_name_do_not_mix(tmp_path: Path) -> None:
    sources = write_sources(tmp_path / "sources")
    network(tmp_path / "first", CLASS, source_directory=sources)
    text = (sources / "nets.py").read_text()
    (sources / "nets.py").write_text(
        text.replace("self.out = torch.nn.Linear(width", "self.last = torch.nn.Linear(width")
    )
    network(tmp_path / "second", CLASS, source_directory=sources)
    names = [set(load_untrained(tmp_path / name).build(2).state_dict()) for name in ("first", "second", "first")]
    assert "out.weight" in names[0] and "last.weight" in names[1]
    assert names[2] == names[0]


def test_own_class_takes_weights_but_for_the_head(tmp_path: Path) -> None:
    sources = write_sources(tmp_path / "sources")
    network(tmp_path / "model", CLASS, source_directory=sources)
    given = load_untrained(tmp_path / "model").build(9).state_dict()
    torch.save(given, tmp_path / "weights.pth")
    network(tmp_path / "again", CLASS, source_directory=sources, weights_path=tmp_path / "weights.pth")
    own = load_untrained(tmp_path / "again").build(9).state_dict()
    differ = {name for name in own if not torch.equal(own[name], given[name])}
    assert differ == {"out.weight", "out.bias"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nets:Fixed", "must take num_classes"),
        ("nets:Deaf", "same weights for 2 classes and for 3"),
        ("nets:not_a_class", "not a torch.nn.Module"),
        ("nets:Absent", "Absent"),
        ("nots:Tiny", "no module 'nots' in .*; its modules: nets"),
    ],
)
def test_own_class_that_cannot_be_used(tmp_path: Path, name: str, reason: str) -> None:
    sources = write_sources(tmp_path / "sources")
    with pytest.raises(UserErrorException, match=reason):
        network(tmp_path / "model", name, source_directory=sources)
    assert not (tmp_path / "model").exists()


def test_own_class_has_no_published_weights(tmp_path: Path) -> None:
    with pytest.raises(UserErrorException, match="no published weights of nets:Tiny: give a file as weights_path"):
        network(tmp_path / "model", CLASS, pretrained=True, source_directory=write_sources(tmp_path / "sources"))


# -- published weights --------------------------------------------------------------------------------------------


class _Host:
    """What stands in for the download host: answers with these, one a request."""

    def __init__(self, answers: list[tuple[int, bytes]]) -> None:
        self.answers = answers
        self.requests: list[str] = []
        self.url = ""


@contextmanager
def _serve(answers: list[tuple[int, bytes]]) -> Iterator[_Host]:
    host = _Host(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.requests.append(self.path)
            status, body = host.answers.pop(0)
            if status == 0:  # the connection breaks
                self.connection.close()
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    host.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """`published(url, digits)`: torchvision's ResNet-18 weights are at this URL; the cache is the test's own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(weights, "RETRY_SECONDS", 0.01)

    def publish(url: str, digits: str) -> None:
        value = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.value
        monkeypatch.setattr(value, "url", f"{url}/resnet18-{digits}.pth")

    return publish


def _body(path: Path) -> tuple[bytes, str]:
    _resnet18_weights(path)
    content = path.read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:8]


Publish = Callable[[str, str], None]


def test_pretrained_downloads_once_and_training_downloads_nothing(tmp_path: Path, published: Publish) -> None:
    content, digits = _body(tmp_path / "w.pth")
    with _serve([(200, content)]) as host:
        published(host.url, digits)
        resnet(tmp_path / "model", "resnet18")
        resnet(tmp_path / "again", "resnet18")
    assert host.requests == [f"/resnet18-{digits}.pth"]
    assert _files(tmp_path / "torch") == [f"hub/checkpoints/resnet18-{digits}.pth"]
    own = load_untrained(tmp_path / "model").build(2).state_dict()
    assert torch.equal(own["conv1.weight"], torch.load(tmp_path / "w.pth")["conv1.weight"])
    assert own["fc.weight"].shape[0] == 2


def test_broken_connections_and_busy_hosts_are_tried_again(tmp_path: Path, published: Publish) -> None:
    content, digits = _body(tmp_path / "w.pth")
    with _serve([(0, b""), (503, b""), (200, b"half of it"), (200, content)]) as host:
        published(host.url, digits)
        resnet(tmp_path / "model", "resnet18")
    assert len(host.requests) == 4
    assert load_untrained(tmp_path / "model").weights is not None


def test_after_three_retries_it_fails_and_names_the_way_out(tmp_path: Path, published: Publish) -> None:
    with _serve([(0, b"")] * 5) as host:
        published(host.url, "0123abcd")
        with pytest.raises(FailedToDownloadFilesError, match="weights_path") as caught:
            resnet(tmp_path / "model", "resnet18")
    assert len(host.requests) == 4
    assert caught.value.code == 162
    assert str(caught.value).startswith(
        'FailedToDownloadFilesError: Failed to download "resnet18-0123abcd.pth" due to internet error. '
        "Please check compute network settings."
    )
    assert not (tmp_path / "model").exists()
    assert _files(tmp_path / "torch") == []


def test_refusal_is_not_tried_again(tmp_path: Path, published: Publish) -> None:
    with _serve([(404, b"")]) as host:
        published(host.url, "0123abcd")
        with pytest.raises(FailedToDownloadFilesError, match="answers 404"):
            resnet(tmp_path / "model", "resnet18")
    assert len(host.requests) == 1


def test_nobody_listens(tmp_path: Path, published: Publish) -> None:
    with _serve([]) as host:
        url = host.url
    published(url, "0123abcd")
    with pytest.raises(FailedToDownloadFilesError, match="refused"):
        resnet(tmp_path / "model", "resnet18")


def test_content_with_another_digest_is_never_used(tmp_path: Path, published: Publish) -> None:
    content, _ = _body(tmp_path / "w.pth")
    with _serve([(200, content)] * 4) as host:
        published(host.url, "00000000")
        with pytest.raises(FailedToDownloadFilesError, match="SHA-256"):
            resnet(tmp_path / "model", "resnet18")
    assert _files(tmp_path / "torch") == []


def test_networks_without_the_usual_weights_say_so(tmp_path: Path) -> None:
    with pytest.raises(UserErrorException, match=r"only IMAGENET1K_SWAG_E2E_V1.*weights_path"):
        untrained.write_torchvision(tmp_path / "model", "vit_h_14", {}, True, None)
