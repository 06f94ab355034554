import pytest
import torch

from actsearch.errors import InvalidValueError
from actsearch.task.tensors import TensorLoader, divide, divide_in_time, standardise


def test_loader_visits_every_row_once_in_an_order_that_its_seed_gives():
    def epochs(seed):
        torch.manual_seed(seed)
        loader = TensorLoader(torch.arange(10), batch_size=4, shuffle=True)
        torch.rand(3)  # other random numbers on the way change nothing
        return [[batch.tolist() for (batch,) in loader] for _ in range(2)]

    first, second = epochs(0)
    for epoch in (first, second):
        assert sorted(row for part in epoch for row in part) == list(range(10))
    assert first != second
    assert epochs(0) == [first, second]
    assert epochs(1) != [first, second]
    assert [len(part) for part in first] == [4, 4, 2]
    assert len(TensorLoader(torch.arange(10), batch_size=4, drop_last=True)) == 2
    assert len(TensorLoader(torch.arange(3), batch_size=4, drop_last=True)) == 1


def test_few_rows_are_gone_through_repeatedly_in_an_order_of_its_own_each_time():
    torch.manual_seed(0)
    loader = TensorLoader(torch.arange(10), batch_size=4, shuffle=True, drop_last=True, repeats=3)
    found = [batch.tolist() for (batch,) in loader]
    assert [len(batch) for batch in found] == [4] * 6 == [4] * len(loader)
    assert len({tuple(batch) for batch in found}) == 6


@pytest.mark.parametrize(
    ("lengths", "batch_size", "message"),
    [
        ((2, 3), 1, r"tensors must have one common length above 0, but got \[2, 3\]"),
        ((0,), 1, "tensors must have one common length above 0"),
        ((2,), 0, "batch_size must be at least 1, but got 0"),
    ],
)
def test_loader_refuses_what_it_cannot_iterate_over(lengths, batch_size, message):
    with pytest.raises(InvalidValueError, match=message):
        TensorLoader(*map(torch.arange, lengths), batch_size=batch_size)


def test_divide_keeps_every_row_once():
    parts = divide(10, seed=0)
    rows = torch.cat([parts.train, parts.val, parts.test]).tolist()
    assert sorted(rows) == list(range(10))


def test_divide_gives_each_part_its_share_of_every_class():
    labels = torch.arange(4).repeat_interleave(50)
    parts = divide(200, seed=0, validation_share=0.3, test_share=0.1, labels=labels)
    counts = [torch.bincount(labels[rows]).tolist() for rows in (parts.train, parts.val)]
    assert counts == [[30] * 4, [15] * 4]
    assert torch.bincount(labels[parts.test]).tolist() == [5] * 4


def test_rows_in_time_are_divided_into_earlier_and_later():
    train, val, test = (part.tolist() for part in vars(divide_in_time(10, 0.2, 0.1)).values())
    assert (train, val, test) == ([0, 1, 2, 3, 4, 5, 6], [7, 8], [9])
    with pytest.raises(InvalidValueError, match=r"10 rows cannot be divided in time .*=0.5 .*=0.5"):
        divide_in_time(10, 0.5, 0.5)


def test_standardise_measures_on_training_rows_and_fills_what_is_missing():
    x = torch.tensor([[0.0, 5.0], [2.0, 5.0], [float("nan"), 5.0], [100.0, 7.0]])
    expected = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [99.0, 2.0]])
    assert torch.equal(standardise(x, torch.tensor([0, 1, 2])), expected)
    images = torch.rand(6, 3, 4, 5)
    train = torch.tensor([0, 2, 3])
    scaled = standardise(images, train)[train]
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.var((0, 2, 3), correction=0), torch.ones(3))
