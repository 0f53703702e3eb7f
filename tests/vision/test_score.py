"""Score Image Model: columns, order and schema of the designer, the numbers of the network, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from pyarrow import parquet

from tests.rig.tiny_networks import CLASS, write_images, write_sources
from toolkit.inscript.errors import UserErrorException
from toolkit.vision.data.image_directory import UNLABELED
from toolkit.vision.errors import GreaterThanOrEqualToError, InvalidDatasetError, InvalidModelDirectoryError
from toolkit.vision.networks.model_directory import load_trained, load_untrained, save_trained
from toolkit.vision.networks.untrained import network
from toolkit.vision.scoring.dataframe_directory import Frame
from toolkit.vision.scoring.score import score_image_model

NAMES = ["zebra", "ant", "cat"]
LABELS = [2, 0, 1, 1, 0, 2, 0]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny network for 12x10 pixels."""
    return _model(tmp_path)


def _model(folder: Path, size: tuple[int, int] = (10, 12), **metadata: Any) -> Path:
    network(folder / "untrained", CLASS, source_directory=write_sources(folder / "sources"))
    found = load_untrained(folder / "untrained")
    torch.manual_seed(0)
    built = found.build(3)
    built(torch.rand(8, 3, *size))
    (folder / "model").mkdir()
    save_trained(
        folder / "model", built, found.spec, NAMES, mean=(0.5,) * 3, std=(0.5,) * 3, image_size=size, metadata=metadata
    )
    return folder / "model"


def _expected(model: Path, files: list[Path]) -> np.ndarray[Any, Any]:
    """The probabilities, image by image, by the plainest way."""
    module = load_trained(model).module
    rows = []
    for file in files:
        pixels = torch.from_numpy(np.asarray(Image.open(file).convert("RGB")).copy()).permute(2, 0, 1)[None] / 255
        with torch.inference_mode():
            rows.append(torch.softmax(module((pixels - 0.5) / 0.5), 1)[0].numpy())
    return np.stack(rows)


def test_columns_order_and_schema_are_the_designers(model: Path, tmp_path: Path) -> None:
    directory = write_images(tmp_path / "images", LABELS, NAMES)
    done: list[tuple[float, float]] = []
    score_image_model(
        model, tmp_path / "images", tmp_path / "scored", batch_size=3, progress=lambda *now: done.append(now)
    )
    assert done == [(3, 7), (6, 7), (7, 7)]
    table = parquet.read_table(tmp_path / "scored" / "_data.parquet")
    probabilities = [f"Scored Probabilities_{name}" for name in NAMES]
    assert table.column_names == ["category", "id", *probabilities, "Scored Labels"]
    assert table["category"].to_pylist() == [NAMES[label] for label in LABELS]
    assert table["id"].to_pylist() == directory.ids
    found = np.stack([table[name].to_numpy() for name in probabilities], axis=1)
    wanted = _expected(model, [tmp_path / "images" / file for file in directory.files])
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert len(np.unique(found.round(4), axis=0)) == len(LABELS)  # the images are told apart
    assert table["Scored Labels"].to_pylist() == [NAMES[index] for index in wanted.argmax(1)]
    schema = json.loads((tmp_path / "scored" / "schema" / "_schema.json").read_text())
    assert schema["score_column_names"] == {
        **{name: name for name in probabilities}, "Multi Class Assigned Labels": "Scored Labels",
    }  # fmt: skip
    assert schema["label_column_name"] == "category"
    assert [column["name"] for column in schema["columnAttributes"]] == table.column_names
    assert [column["type"] for column in schema["columnAttributes"]] == ["String", *["Numeric"] * 4, "String"]
    meta = yaml.safe_load((tmp_path / "scored" / "_meta.yaml").read_text())
    assert (meta["type"], meta["format"]) == ("DataFrameDirectory", "Parquet")
    assert len(json.loads((tmp_path / "scored" / "_samples.json").read_text())) == 3
    again = Frame.load(tmp_path / "scored", "Scored dataset")
    assert again.table.equals(table)
    assert again.label_column == "category"


def test_unlabelled_images_have_no_label_column(model: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "images", [UNLABELED] * 4, NAMES)
    score_image_model(model, tmp_path / "images", tmp_path / "scored")
    frame = Frame.load(tmp_path / "scored", "Scored dataset")
    assert frame.table.column_names[0] == "id"
    assert frame.label_column is None


def test_batch_size_does_not_change_the_result(model: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "images", LABELS, NAMES)
    tables = []
    for batch_size in (0, 1, 4):
        score_image_model(model, tmp_path / "images", tmp_path / "scored", batch_size=batch_size, device="cpu")
        tables.append(parquet.read_table(tmp_path / "scored" / "_data.parquet")["Scored Probabilities_ant"].to_numpy())
    np.testing.assert_allclose(tables[1], tables[0], rtol=1e-5)
    np.testing.assert_allclose(tables[2], tables[0], rtol=1e-5)


def test_unreadable_images_are_named_and_left_out(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = write_images(tmp_path / "images", LABELS, NAMES)
    (tmp_path / "images" / directory.files[1]).write_bytes(b"no image")
    (tmp_path / "images" / directory.files[4]).unlink()
    score_image_model(model, tmp_path / "images", tmp_path / "scored", batch_size=2)
    frame = Frame.load(tmp_path / "scored", "Scored dataset")
    kept = [0, 2, 3, 5, 6]
    assert frame.table["id"].to_pylist() == [directory.ids[place] for place in kept]
    found = frame.table["Scored Probabilities_zebra"].to_numpy()
    wanted = _expected(model, [tmp_path / "images" / directory.files[place] for place in kept])[:, 0]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    said = capsys.readouterr().err
    assert "2 images cannot be read and are left out" in said
    assert directory.files[1] in said and directory.files[4] in said
    assert len((tmp_path / "scored" / "skipped_images.txt").read_text().splitlines()) == 2


def test_no_image_that_can_be_read(model: Path, tmp_path: Path) -> None:
    directory = write_images(tmp_path / "images", LABELS, NAMES)
    for file in directory.files:
        (tmp_path / "images" / file).write_bytes(b"no image")
    with pytest.raises(InvalidDatasetError, match=r"none of its 7 images can be read: image/2_0.png"):
        score_image_model(model, tmp_path / "images", tmp_path / "scored")
    assert not (tmp_path / "scored").exists()


@pytest.mark.parametrize("known", [True, False])
def test_images_of_another_size_than_the_models(model: Path, tmp_path: Path, known: bool) -> None:
    write_images(tmp_path / "images", LABELS, NAMES, size=(16, 10), known_sizes=known)
    with pytest.raises(InvalidDatasetError, match="16x10") as caught:
        score_image_model(model, tmp_path / "images", tmp_path / "scored")
    assert str(caught.value).startswith("InvalidDatasetError: Testing dataset is not valid, reason: ")
    assert "12x10" in str(caught.value)
    assert not (tmp_path / "scored").exists()


def test_transformation_of_the_training_is_applied(tmp_path: Path) -> None:
    """The model was trained on images that a resize to 8 and a crop to 6 made."""
    model = _model(tmp_path, size=(6, 6), transforms=[["Resize", 8], ["CenterCrop", 6]])
    directory = write_images(tmp_path / "images", LABELS, NAMES, size=(24, 20))
    score_image_model(model, tmp_path / "images", tmp_path / "scored")
    from torchvision.transforms import CenterCrop, Compose, Resize

    (tmp_path / "small").mkdir()
    small = []
    for number, file in enumerate(directory.files):
        image = Compose([Resize(8), CenterCrop(6)])(Image.open(tmp_path / "images" / file))
        small.append(tmp_path / "small" / f"{number}.png")
        image.save(small[-1])
    found = Frame.load(tmp_path / "scored", "Scored dataset").table["Scored Probabilities_cat"].to_numpy()
    np.testing.assert_allclose(found, _expected(model, small)[:, 2], rtol=1e-4)


def test_transformation_that_does_not_lead_to_the_models_size(tmp_path: Path) -> None:
    model = _model(tmp_path, size=(6, 6), transforms=[["Resize", 6]])
    write_images(tmp_path / "images", LABELS, NAMES, size=(24, 20))
    with pytest.raises(InvalidDatasetError, match=r"7 of its 7 images .* after the transformation of the model"):
        score_image_model(model, tmp_path / "images", tmp_path / "scored")


def test_unknown_transformation_is_named(tmp_path: Path) -> None:
    model = _model(tmp_path, transforms=[["Explode", 6]])
    write_images(tmp_path / "images", LABELS, NAMES)
    with pytest.raises(InvalidModelDirectoryError, match="Explode"):
        score_image_model(model, tmp_path / "images", tmp_path / "scored")


def test_bad_parameters_are_refused_before_any_work(model: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "images", LABELS, NAMES)
    with pytest.raises(GreaterThanOrEqualToError, match='"Batch size"'):
        score_image_model(model, tmp_path / "images", tmp_path / "scored", batch_size=-1)
    for device in ("tpu0", "meta", "cuda:99"):
        with pytest.raises(UserErrorException, match=device):
            score_image_model(model, tmp_path / "images", tmp_path / "scored", device=device)
    with pytest.raises(InvalidDatasetError, match="Testing dataset"):
        score_image_model(model, tmp_path, tmp_path / "scored")
    with pytest.raises(InvalidModelDirectoryError, match="Trained model"):
        score_image_model(tmp_path / "images", tmp_path / "images", tmp_path / "scored")


def test_classes_without_a_name_keep_columns_of_their_own(tmp_path: Path) -> None:
    from toolkit.vision.scoring.scorer import score_columns

    assert score_columns(["Others", "cat", "Others"]) == [
        "Scored Probabilities_Others", "Scored Probabilities_cat", "Scored Probabilities_Others_2",
    ]  # fmt: skip
