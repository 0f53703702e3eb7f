"""Tabular data sets, before any run has them."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pandas
import pytest

from toolkit import DataPath, Dataset, DataType, UserErrorException, Workspace
from toolkit.data.data_type import PromoteHeadersBehavior
from toolkit.data.datastore import Datastore
from toolkit.data.errors import DatasetExecutionError, DatasetTimestampMissingError, DatasetValidationError
from toolkit.data.tabular_dataset import TabularDataset

PEOPLE = """\
name,age,city,joined,member
Ann,31,Bonn,2020-01-31,True
Bob,,Köln,2021-06-01 12:30:00,False
Cy,7,,2022-01-01,True
"""


@pytest.fixture
def store(workspace: Workspace) -> Datastore:
    return Datastore.get_default(workspace)


def put(store: Datastore, tmp_path: Path, **contents: str | bytes) -> None:
    """Files in `tables` of the datastore; `__` in a name is a slash and `_` before the extension a dot."""
    for name, content in contents.items():
        path = tmp_path / "tables" / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    store.upload(str(tmp_path / "tables"), "tables", overwrite=True, show_progress=False)


@pytest.fixture
def people(store: Datastore, tmp_path: Path) -> TabularDataset:
    put(store, tmp_path, people_csv=PEOPLE)
    return Dataset.Tabular.from_delimited_files(path=(store, "tables/people.csv"))


def test_types_are_inferred(people: TabularDataset) -> None:
    frame = people.to_pandas_dataframe()
    assert frame["age"].tolist()[0] == 31 and frame["age"].isna().tolist() == [False, True, False]
    assert frame["city"].isna().tolist() == [False, False, True] and frame["city"][1] == "Köln"
    assert frame["joined"].tolist()[1] == pandas.Timestamp("2021-06-01 12:30:00")
    assert frame["member"].dtype == bool


def test_types_that_are_set(store: Datastore, tmp_path: Path) -> None:
    put(store, tmp_path, t_csv="id;price;ok;day\n007;1,5;yes;31.01.2020\n008;x;no;01.02.2020\n")
    types = {
        "id": DataType.to_string(),
        "price": DataType.to_float(decimal_mark=","),
        "ok": DataType.to_bool(true_values="yes", false_values="no"),
        "day": DataType.to_datetime("%d.%m.%Y"),
    }
    made = Dataset.Tabular.from_delimited_files((store, "tables/t.csv"), separator=";", set_column_types=types)
    frame = made.to_pandas_dataframe()
    assert frame["id"].tolist() == ["007", "008"] and frame["price"][0] == 1.5 and frame["price"].isna()[1]
    assert frame["ok"].tolist() == [True, False] and frame["day"][0] == pandas.Timestamp(2020, 1, 31)
    with pytest.raises(DatasetExecutionError, match="'price' cannot be read as float"):
        made.to_pandas_dataframe(on_error="fail")
    with pytest.raises(UserErrorException, match="must be a DataType"):
        Dataset.Tabular.from_delimited_files((store, "tables/t.csv"), set_column_types={"id": str})


def test_words_for_no_value_among_numbers(store: Datastore, tmp_path: Path) -> None:
    put(store, tmp_path, t_csv="n,land\n1,NA\nNA,DE\n,FR\n")
    frame = Dataset.Tabular.from_delimited_files((store, "tables/t.csv")).to_pandas_dataframe()
    assert frame["n"].sum() == 1 and frame["n"].isna().sum() == 2
    assert frame["land"].tolist() == ["NA", "DE", "FR"], "Namibia is text"


def test_headers_encoding_and_no_inference(store: Datastore, tmp_path: Path) -> None:
    put(store, tmp_path, h1_csv="a,b\n1,2\n", h2_csv="3,4\n", latin_csv="name\nKöln\n".encode("latin-1"))
    none = Dataset.Tabular.from_delimited_files((store, "tables/h2.csv"), header=False).to_pandas_dataframe()
    assert list(none.columns) == ["Column1", "Column2"]
    first = Dataset.Tabular.from_delimited_files(
        [(store, "tables/h1.csv"), (store, "tables/h2.csv")],
        header=PromoteHeadersBehavior.ONLY_FIRST_FILE_HAS_HEADERS,
    )
    assert first.to_pandas_dataframe().to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    latin = Dataset.Tabular.from_delimited_files((store, "tables/latin.csv"), encoding="iso88591")
    assert latin.to_pandas_dataframe()["name"][0] == "Köln"
    with pytest.raises(DatasetExecutionError, match=r"latin\.csv cannot be read as delimited"):
        Dataset.Tabular.from_delimited_files((store, "tables/latin.csv")).to_pandas_dataframe()
    plain = Dataset.Tabular.from_delimited_files((store, "tables/h1.csv"), infer_column_types=False)
    assert plain.to_pandas_dataframe().loc[0].tolist() == ["1", "2"]
    old = Dataset.from_delimited_files((store, "tables/h2.csv"), header=False, skip_rows=0)
    assert old.to_pandas_dataframe().shape == (1, 2)
    with pytest.raises(UserErrorException, match=r"skip_rows=…\) is not offered"):
        Dataset.from_delimited_files((store, "tables/h2.csv"), skip_rows=1)


def test_columns_and_rows(people: TabularDataset) -> None:
    assert list(people.keep_columns(["city", "name"]).to_pandas_dataframe().columns) == ["city", "name"]
    assert list(people.keep_columns("age").to_pandas_dataframe().columns) == ["age"]
    assert "age" not in people.drop_columns(columns=["age", "none"]).to_pandas_dataframe().columns
    with pytest.raises(DatasetValidationError, match="'weight' is not in the dataset; it has: name, age"):
        people.keep_columns(["weight"], validate=True)
    assert people.take(2).to_pandas_dataframe()["name"].tolist() == ["Ann", "Bob"]
    assert people.skip(1).take(1).to_pandas_dataframe()["name"].tolist() == ["Bob"]
    assert people.skip(2).to_pandas_dataframe().index.tolist() == [0]


@pytest.mark.parametrize("count", [-1, 1.5, "2", True])
def test_counts_that_are_none(people: TabularDataset, count: Any) -> None:
    with pytest.raises(UserErrorException, match="whole number"):
        people.take(count)


def test_split_and_sample(store: Datastore, tmp_path: Path) -> None:
    put(store, tmp_path, n_csv="n\n" + "\n".join(map(str, range(1000))) + "\n")
    numbers = Dataset.Tabular.from_delimited_files((store, "tables/n.csv"))
    one, other = (part.to_pandas_dataframe()["n"].tolist() for part in numbers.random_split(percentage=0.8, seed=223))
    assert sorted(one + other) == list(range(1000)) and 740 < len(one) < 860
    assert numbers.random_split(0.8, seed=223)[0].to_pandas_dataframe()["n"].tolist() == one
    sample = numbers.take_sample(0.1, seed=1).to_pandas_dataframe()["n"].tolist()
    assert 60 < len(sample) < 140 and sample == numbers.take_sample(0.1, seed=1).to_pandas_dataframe()["n"].tolist()
    nested = numbers.random_split(0.5, seed=1)[0].random_split(0.5, seed=1)[0]
    assert 180 < len(nested.to_pandas_dataframe()) < 320
    with pytest.raises(UserErrorException, match="no share"):
        numbers.random_split(80)


def test_conditions(people: TabularDataset) -> None:
    def names(condition: Any) -> list[str]:
        return list(people.filter(condition).to_pandas_dataframe()["name"])

    assert names(people["age"] > 10) == ["Ann"]
    assert names((people["age"] <= 31) & (people["member"] == True)) == ["Ann", "Cy"]  # noqa: E712
    assert names((people["name"] == "Bob") | people["city"].is_null()) == ["Bob", "Cy"]
    assert names(~(people["name"] == "Bob")) == ["Ann", "Cy"]
    assert names(people["joined"] >= datetime.datetime(2021, 1, 1)) == ["Bob", "Cy"]
    assert names(people["name"].isin(["Cy", "Ann"])) == ["Ann", "Cy"]
    assert names(people["city"].contains("on")) == ["Ann"]
    with pytest.raises(UserErrorException, match="join conditions with & and"):
        people.filter(people["age"] > 1 and people["age"] < 3)
    with pytest.raises(DatasetValidationError, match="'weight' is not in the dataset"):
        people.filter(people["weight"] > 1).to_pandas_dataframe()
    with pytest.raises(UserErrorException, match="filter takes a condition"):
        people.filter("age > 3")  # type: ignore[arg-type]


def test_times(people: TabularDataset) -> None:
    with pytest.raises(DatasetTimestampMissingError, match="with_timestamp_columns"):
        people.time_before(datetime.datetime.now())
    timed = people.with_timestamp_columns(timestamp="joined")
    assert timed.timestamp_columns == ("joined", None)
    assert people.with_timestamp_columns(fine_grain_timestamp="joined").timestamp_columns == ("joined", None)

    def names(dataset: TabularDataset) -> list[str]:
        return list(dataset.to_pandas_dataframe()["name"])

    day = datetime.datetime(2022, 1, 1)
    assert names(timed.time_before(day)) == ["Ann", "Bob", "Cy"]
    assert names(timed.time_before(day, include_boundary=False)) == ["Ann", "Bob"]
    assert names(timed.time_after(datetime.datetime(2021, 1, 1))) == ["Bob", "Cy"]
    assert names(
        timed.time_between(start_time=datetime.datetime(2021, 1, 1), end_time=datetime.date(2021, 12, 31))
    ) == ["Bob"]
    assert names(timed.time_recent(datetime.timedelta(days=1))) == []
    with pytest.raises(UserErrorException, match="timestamp column"):
        timed.drop_columns("joined")
    with pytest.raises(DatasetValidationError, match="no column 'when'"):
        people.with_timestamp_columns("when", validate=True)


def test_columns_of_paths(store: Datastore, tmp_path: Path) -> None:
    put(store, tmp_path, CA__2019__01__data_csv="t\n1\n", NY__2019__02__data_csv="t\n2\n")
    made = Dataset.Tabular.from_delimited_files(
        (store, "tables/**/data.csv"), partition_format="/{state}/{month:yyyy/MM}/data.csv", include_path=True
    )
    frame = made.to_pandas_dataframe()
    assert frame["state"].tolist() == ["CA", "NY"] and frame["month"].tolist()[1] == pandas.Timestamp(2019, 2, 1)
    assert frame["Path"].tolist() == ["/CA/2019/01/data.csv", "/NY/2019/02/data.csv"]
    assert made.filter(made["state"] == "NY").to_pandas_dataframe()["t"].tolist() == [2]
    assert made.partition_keys == ["state", "month"]


def test_json_lines(store: Datastore, tmp_path: Path) -> None:
    put(store, tmp_path, a_jsonl='{"a": 1, "when": "2020-01-01"}\n\n{"a": 2, "b": "x"}\nnot json\n')
    dropped = Dataset.Tabular.from_json_lines_files((store, "tables/a.jsonl"), invalid_lines="drop")
    frame = dropped.to_pandas_dataframe()
    assert frame["a"].tolist() == [1, 2] and frame["when"][0] == pandas.Timestamp(2020, 1, 1)
    with pytest.raises(DatasetExecutionError, match=r"line 4 is no JSON.*invalid_lines='drop'"):
        Dataset.Tabular.from_json_lines_files((store, "tables/a.jsonl")).to_pandas_dataframe()


def test_a_data_frame_becomes_a_version(store: Datastore, workspace: Workspace, capsys: Any) -> None:
    frame = pandas.DataFrame({"x": [1, 2], "when": pandas.to_datetime(["2020-01-01", "2021-01-01"])})
    made = Dataset.Tabular.register_pandas_dataframe(dataframe=frame, target=(store, "frames"), name="my frame")
    assert capsys.readouterr().out.splitlines() == [
        "Validating arguments.",
        "Arguments validated.",
        "Successfully obtained datastore reference and path.",
        f"Uploading file to {made.definition['sources'][0]['path'].rpartition('/')[0]}/",
        "Successfully uploaded file to datastore.",
        "Creating and registering a new dataset.",
        "Successfully created and registered a new dataset.",
    ]
    assert (made.name, made.version) == ("my frame", 1)
    pandas.testing.assert_frame_equal(Dataset.get_by_name(workspace, "my frame").to_pandas_dataframe(), frame)
    again = Dataset.Tabular.register_pandas_dataframe(frame, DataPath(store, "frames"), "my frame", show_progress=False)
    assert again.version == 2
    assert Dataset.Tabular.register_pandas_dataframe(frame, store, "other", show_progress=False).version == 1
    with pytest.raises(UserErrorException, match=r"takes a pandas\.DataFrame"):
        Dataset.Tabular.register_pandas_dataframe([1], store, "other", show_progress=False)


def test_files_of_a_table(people: TabularDataset, workspace: Workspace) -> None:
    files = people.keep_columns(["name", "age"]).to_csv_files(separator=";")
    (path,) = files.download()
    assert Path(path).read_text().splitlines()[0] == "name;age"
    assert people.to_parquet_files().to_path() == ["/part-00000.parquet"]
    parted = people.partition_by(
        ["member"], (Datastore.get_default(workspace), "parted"), "parted", show_progress=False
    )
    assert parted.partition_keys == ["member"] and parted.version == 1
    assert parted.filter(parted["member"] == "False").to_pandas_dataframe()["name"].tolist() == ["Bob"]


def test_a_table_is_the_same_in_every_process(people: TabularDataset, workspace: Workspace) -> None:
    made = people.filter(people["age"] > 10).keep_columns(["name"]).take(5)
    found = Dataset.get_by_id(workspace, made.id)
    assert isinstance(found, TabularDataset) and found.to_pandas_dataframe()["name"].tolist() == ["Ann"]


def test_what_is_not_offered(people: TabularDataset) -> None:
    with pytest.raises(UserErrorException, match="Spark is not offered"):
        people.to_spark_dataframe()
    with pytest.raises(UserErrorException, match=r"SQL queries are not offered.*read_sql"):
        Dataset.Tabular.from_sql_query("select 1")
    with pytest.raises(UserErrorException, match="cannot be given as files"):
        people.as_named_input("people").as_mount()


def test_files_that_went_away(store: Datastore, workspace: Workspace, people: TabularDataset) -> None:
    path = store.location.local("tables/people.csv")
    assert path is not None
    Path(path).unlink()
    with pytest.raises(DatasetExecutionError, match="no files"):
        people.to_pandas_dataframe()
