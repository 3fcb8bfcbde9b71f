import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.pending import Pending

COLUMNS = ("vehicle", "run", "place", "determined_at", "revision", "withdrawn", "value")


def rows(*facts):
    """(vehicle, place, determined_at, revision, withdrawn, value)."""
    columns = list(zip(*facts, strict=True)) or [()] * 6
    kinds = (np.int64, np.int64, np.float64, np.int64, np.bool_, np.float64)
    vehicle, place, determined, revision, withdrawn, value = (
        np.array(c, k) for c, k in zip(columns, kinds, strict=True)
    )
    return {
        "vehicle": vehicle, "run": vehicle.copy(), "place": place, "determined_at": determined, "revision": revision,
        "withdrawn": withdrawn, "value": value,
    }  # fmt: skip


def pending():
    return Pending(("vehicle", "place"), COLUMNS)


def close(pool, vehicle, until):
    pool.close(np.array([vehicle]), np.array([float(until)]))


def taken(pool):
    got = pool.take()
    return sorted(zip(got["vehicle"].tolist(), got["place"].tolist(), got["value"].tolist(), strict=True))


def test_a_fact_is_taken_once_its_vehicle_is_that_far():
    pool = pending()
    pool.observe(rows((0, 5, 100.0, 0, False, 1.0), (1, 5, 100.0, 0, False, 2.0)))
    assert taken(pool) == []
    close(pool, 0, 99)
    assert taken(pool) == []
    close(pool, 0, 100)
    assert taken(pool) == [(0, 5, 1.0)]
    assert taken(pool) == []


def test_the_highest_revision_counts_whatever_the_order():
    pool = pending()
    pool.observe(rows((0, 5, 100.0, 1, False, 2.0)))
    pool.observe(rows((0, 5, 100.0, 0, False, 1.0)))
    close(pool, 0, 100)
    assert taken(pool) == [(0, 5, 2.0)]


def test_withdrawn_is_never_taken_not_even_when_the_fact_is_repeated_later():
    pool = pending()
    pool.observe(rows((0, 5, 100.0, 0, False, 1.0), (0, 5, 100.0, 1, True, 1.0)))
    taken(pool)
    pool.observe(rows((0, 5, 100.0, 0, False, 1.0)))
    close(pool, 0, 200)
    assert taken(pool) == []


def test_what_comes_again_after_it_was_taken_is_a_repeat():
    pool = pending()
    pool.observe(rows((0, 5, 100.0, 0, False, 1.0)))
    close(pool, 0, 150)
    assert taken(pool) == [(0, 5, 1.0)]
    pool.observe(rows((0, 5, 100.0, 0, False, 1.0), (0, 6, 160.0, 0, False, 3.0)))
    close(pool, 0, 200)
    assert taken(pool) == [(0, 6, 3.0)]


def test_what_comes_again_takes_back_what_was_told_in_between():
    pool = pending()
    pool.observe(rows((0, 5, 100.0, 0, False, 1.0)))
    close(pool, 0, 100)
    assert taken(pool) == [(0, 5, 1.0)]
    pool.observe(rows((0, 5, 150.0, 1, False, 2.0)))
    assert taken(pool) == []
    pool.observe(rows((0, 5, 100.0, 2, False, 1.0)))
    close(pool, 0, 200)
    assert taken(pool) == []


def test_renumbering_keeps_facts_and_watermarks_with_their_vehicle():
    pool = pending()
    pool.observe(rows((0, 5, 100.0, 0, False, 1.0), (2, 5, 300.0, 0, False, 2.0)))
    close(pool, 2, 250)
    assert taken(pool) == []
    pool.renumber(np.array([-1, -1, 0]), np.array([-1, -1, 4]))
    assert pool.column("run").tolist() == [4]
    close(pool, 0, 300)
    assert taken(pool) == [(0, 5, 2.0)]
    pool.observe(rows((0, 6, 260.0, 0, False, 9.0)))
    close(pool, 0, 400)
    assert taken(pool) == []  # determined before what was taken: a repeat


fact = st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 9), st.booleans(), st.booleans())


@given(st.lists(st.one_of(fact, st.tuples(st.integers(0, 2), st.integers(0, 60))), max_size=25), st.data())
def test_when_it_is_taken_makes_no_difference(events, data):
    """Facts keep their content; an event is a new revision of one, or a watermark."""
    whole, cut = pending(), pending()
    revision: dict = {}
    reached = dict.fromkeys(range(3), -1.0)
    once, bit_by_bit = [], []
    for event in events:
        if len(event) == 2:
            vehicle, until = event
            reached[vehicle] = max(reached[vehicle], float(until))
            for pool in (whole, cut):
                close(pool, vehicle, until)
        else:
            vehicle, place, _, withdrawn, again = event
            determined = reached[vehicle] + 1.0 + place
            known = revision.get((vehicle, place))
            if known and known[0] <= reached[vehicle]:
                row = known[1]  # closed: it can only come again as it was
            elif known and again:
                row = known[1]
            else:
                number = known[1][3] + 1 if known else 0
                row = (vehicle, place, determined, number, withdrawn, float(number))
                revision[vehicle, place] = (determined, row)
            for pool in (whole, cut):
                pool.observe(rows(row))
        if data.draw(st.booleans()):
            bit_by_bit += taken(cut)
        if data.draw(st.integers(0, 4)) == 0:  # a crash: the state comes back from its bytes
            tree = cut.dump()
            cut = pending()
            cut.restore(tree)
    once, bit_by_bit = taken(whole), bit_by_bit + taken(cut)
    assert sorted(once) == sorted(bit_by_bit)
