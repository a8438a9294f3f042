import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from lightning_topolip.study.judging.results import COLUMNS, Results, Row, results_file

ROW = Row("digits", "vit", 0, 1.0, "drift", "scaled W2", "blocks.0", "", 0.0, 0.5, 0.02)


def test_a_written_table_is_read_back_exactly(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    values = [math.inf, -0.0, 5e-324, 1 / 3, 1e22, *(generator.standard_normal(50) * 10.0 ** np.arange(-25, 25))]
    rows = [ROW._replace(seed=i, epoch=i / 7, strength=2.0 ** (-i / 4), value=v) for i, v in enumerate(values)]
    Results(rows).write(tmp_path / "deep" / "results.csv")
    restored = Results.read(tmp_path / "deep" / "results.csv")
    assert list(restored) == rows
    assert np.array_equal(np.signbit(restored.values()), np.signbit(values))


def test_columns_keep_their_types(tmp_path: Path) -> None:
    Results([ROW]).write(tmp_path / "results.csv")
    [restored] = Results.read(tmp_path / "results.csv")
    assert [type(getattr(restored, name)) for name in COLUMNS] == [type(getattr(ROW, name)) for name in COLUMNS]


def test_nan_survives(tmp_path: Path) -> None:
    Results([ROW._replace(value=math.nan, error=math.nan)]).write(tmp_path / "results.csv")
    [restored] = Results.read(tmp_path / "results.csv")
    assert np.isnan([restored.value, restored.error]).all()


@pytest.mark.parametrize("label", ["a,b", 'say "hi"', "two\nlines", "Grüße", " spaced ", "'"])
def test_labels_survive_any_characters(label: str, tmp_path: Path) -> None:
    rows = [ROW._replace(model=label), ROW]
    Results(rows).write(tmp_path / "results.csv")
    assert list(Results.read(tmp_path / "results.csv")) == rows


def test_the_same_table_is_the_same_file(tmp_path: Path) -> None:
    rows = [ROW._replace(seed=seed) for seed in range(3)]
    Results(rows).write(tmp_path / "first.csv")
    Results.read(tmp_path / "first.csv").write(tmp_path / "second.csv")
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()


def test_a_compressed_table_holds_the_same_text_and_no_time(tmp_path: Path) -> None:
    rows = [ROW._replace(seed=seed, value=1 / (3 + seed), error=0.01) for seed in range(3)]
    Results(rows).write(tmp_path / "results.csv")
    Results(rows).write(tmp_path / "results.csv.gz")
    packed = (tmp_path / "results.csv.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "results.csv").read_bytes()
    assert packed[3:8] == bytes(5)  # no file name, no time: RFC 1952
    assert list(Results.read(tmp_path / "results.csv.gz")) == rows


def test_the_table_of_a_folder_is_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"`folder` must hold results\.csv or results\.csv\.gz"):
        results_file(tmp_path)
    for name in ("results.csv.gz", "results.csv"):
        Results([ROW]).write(tmp_path / name)
        assert results_file(tmp_path).name == name


def test_an_empty_table_is_a_header(tmp_path: Path) -> None:
    Results([]).write(tmp_path / "results.csv")
    assert (tmp_path / "results.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert len(Results.read(tmp_path / "results.csv")) == 0


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    Results([ROW]).write(path)
    before = path.read_bytes()
    broken = Results([ROW])
    broken.rows.append(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        broken.write(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["results.csv"]


def test_a_file_with_other_columns_raises(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("data,model\ndigits,vit\n")
    with pytest.raises(ValueError, match=r"CSV file with columns .* got \['data', 'model'\]"):
        Results.read(path)


@pytest.mark.parametrize("line", ["digits,vit,0", "", "digits,vit,zero,1.0,drift,scaled W2,,,0.0,0.5"])
def test_a_malformed_line_raises_with_its_number(line: str, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    Results([ROW]).write(path)
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(ValueError, match=r"`path` must be a complete CSV file, got \[.*\] in line 3"):
        Results.read(path)


def test_rows_are_filtered_by_one_value_or_several_in_their_order() -> None:
    rows = [ROW._replace(seed=seed, layer=layer) for seed in (2, 0, 1) for layer in ("b", "a")]
    results = Results(rows)
    assert list(results.where(seed=0)) == rows[2:4]
    assert list(results.where(seed=(1, 2), layer="a")) == [rows[1], rows[5]]
    assert list(results.where(seed=[])) == []
    assert list(results.where()) == rows


def test_unknown_column_raises() -> None:
    with pytest.raises(AttributeError, match="sed"):
        Results([ROW]).where(sed=0)


def test_unique_keeps_the_order_of_appearance() -> None:
    assert Results(ROW._replace(layer=layer) for layer in "cabca").unique("layer") == ["c", "a", "b"]


def test_values_of_no_rows_are_an_empty_array() -> None:
    assert Results([]).values().shape == (0,)


def test_every_run_has_its_own_last_epoch() -> None:
    long, short = ROW._replace(seed=0), ROW._replace(seed=1)
    rows = [run._replace(epoch=epoch) for epoch in (3.0, 0.0, 1.5) for run in (long, short)]
    rows = [row for row in rows if row.seed == 0 or row.epoch < 2]
    assert [(row.seed, row.epoch) for row in Results(rows).last_epoch()] == [(0, 3.0), (1, 1.5)]
