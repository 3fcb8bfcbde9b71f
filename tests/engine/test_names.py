import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.names import Names, Numbers, grown


@given(st.lists(st.lists(st.none() | st.text(max_size=3))))
def test_names_go_to_numbers_and_back(batches):
    names = Names()
    for batch in batches:
        ix = names.intern(batch)
        assert names.of(ix).tolist() == batch
        assert [names.find(n) for n in batch] == ix.tolist()
    assert all((names.find(n) == -1) == (n is None) for batch in batches for n in batch)
    assert Names(names.to_list()).to_list() == names.to_list()
    assert len(names) == len({n for batch in batches for n in batch} - {None})


def test_numbers_follow_the_order_of_first_sight():
    names = Names()
    assert names.intern(["b", None, "a", "b"]).tolist() == [0, -1, 1, 0]
    assert names.name(1) == "a"
    assert names.name(-1) is None
    assert names.find("never seen") == -1


def test_many_names_leave_minus_one_empty():
    names = Names(f"v{i}" for i in range(1000))
    assert names.of(np.array([-1, 999])).tolist() == [None, "v999"]


def test_arrays_grow_by_doubling_and_keep_what_they_hold():
    array = grown(np.arange(70), 71, -1)
    assert len(array) == 140
    assert array[:70].tolist() == list(range(70))
    assert set(array[70:].tolist()) == {-1}
    assert grown(array, 10, 0) is array
    assert grown(np.empty((0, 3)), 1, 0.0).shape == (64, 3)


def test_a_table_finds_minus_one_for_what_is_not_in_it():
    table = Numbers({"a": 0, "b": 1})
    assert table.of(["b", "c", None, "a"]).tolist() == [1, -1, -1, 0]
    assert "c" not in table, "asking adds nothing"


@pytest.mark.parametrize("likely", [[0, 1, -1, 0], [-1, -1, -1, -1], [1, 0, 0, 1]])
def test_what_an_id_probably_is_does_not_change_what_it_is(likely):
    ids = np.array(["a", "b", None, "new"], dtype=object)
    names = Names(["a", "b"])
    assert names.intern(ids, np.array(likely)).tolist() == [0, 1, -1, 2]
    assert names.find("new") == 2
    assert Numbers({"a": 0, "b": 1}).of(ids, np.array(likely)).tolist() == [0, 1, -1, -1]
