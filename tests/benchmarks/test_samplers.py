"""The benchmark's arithmetic, on a table small enough to check by hand."""

import csv

import numpy as np
import pytest
from samplers import (
    CONTESTANTS,
    TABLES,
    Curves,
    Table,
    as_text,
    bench_sampler,
    chosen_elsewhere,
    named,
    picture,
)

from actsearch.activations.expression.generate import pool
from actsearch.errors import InvalidValueError, UnknownNameError

RANDOM = {"random": CONTESTANTS["random"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables")
    names = ["relu", "silu", "tanh", "elu", *pool(56, 2, 3)]
    with (path / "toy.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["activation", "seed_0", "seed_1"])
        for i, name in enumerate(dict.fromkeys(names)):
            writer.writerow([name, "nan" if i == 5 else i, i])
    return path


def test_a_table_is_read_and_what_diverged_is_worst(folder):
    table = Table.read(folder / "toy.csv")
    assert table.activations[0] == "relu"
    assert table.scores[5] == 0.0
    assert table.scores[7] == 7.0


def test_regret_is_normalised():
    table = Table("t", ("a", "b", "c", "d", "e"), np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
    assert table.regret([0, 2, 1, 4]).tolist() == [2.0, 1.0, 1.0, 0.0]


def test_a_part_keeps_the_common_ones(folder):
    table = Table.read(folder / "toy.csv")
    part = table.part(0)
    assert len(part.activations) < len(table.activations)
    assert {"relu", "silu", "tanh", "elu"} <= set(part.activations)
    assert part.activations == table.part(0).activations != table.part(1).activations


def test_every_sampler_trains_each_activation_once(folder):
    names = ["random", "evolution", "function_space"]
    result = bench_sampler(named(names), folder, trainings=24, seeds=2)
    for curves in result.values():
        assert curves.regret.shape == (1, 2, 24)
        assert (np.diff(curves.regret, axis=2) <= 0).all()
    lines = as_text(result).splitlines()
    assert lines[0].split()[:3] == ["sampler", "after", "10"]
    assert [line.split()[0] for line in lines[1:]] == ["random", "evolution", "function_space"]


def test_trainings_needed(folder):
    curves = bench_sampler(RANDOM, folder, trainings=40, seeds=2)["random"]
    assert curves.needed(np.inf) == 1
    assert curves.needed(-1.0) is None


def test_a_choice_is_judged_by_the_tables_it_was_not_made_on():
    def curves(*tables):  # regret of each table, one seed, one training
        return Curves(np.array(tables)[:, None, None], 1.0)

    found = chosen_elsewhere({"a": curves(0.9, 0.1, 0.1), "b": curves(0.2, 0.5, 0.5)})
    assert found.regret[:, 0, 0].tolist() == [0.9, 0.5, 0.5]


def test_a_picture(folder, tmp_path):
    result = bench_sampler(RANDOM, folder, trainings=12, seeds=2)
    assert picture(result, tmp_path / "regret.png").stat().st_size > 1000


def test_errors_say_what_there_is(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown sampler 'tep'; nearest: tpe"):
        named(["tep"])
    with pytest.raises(InvalidValueError, match="folder must hold tables"):
        bench_sampler(RANDOM, tmp_path)
    (tmp_path / "bad.csv").write_text("activation,seed_0\nrelu,much\n")
    with pytest.raises(
        InvalidValueError, match="table must be a CSV file of activations and scores"
    ):
        bench_sampler(RANDOM, tmp_path)


def test_the_shipped_tables():
    tables = [Table.read(path) for path in sorted(TABLES.glob("*.csv"))]
    assert {"diabetes_mlp", "digits_autoencoder", "digits_cnn"} <= {table.name for table in tables}
    for table in tables:
        assert len(set(table.activations)) == len(table.activations) >= 1200
    assert sum(path.stat().st_size for path in TABLES.glob("*.csv")) < 1_000_000
