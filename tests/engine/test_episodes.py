import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.episodes import UPDATE_EVERY_S, Episodes, Sightings

AFTER_S = 60.0


def sightings(*rows):
    """(key, firm, stop, other, measured) rows."""
    key, firm, stop, other, measured = (np.array(c) for c in zip(*sorted(rows), strict=True)) if rows else ([],) * 5
    return Sightings.of(
        np.array(key, dtype=np.int64),
        np.array(firm, dtype=bool),
        stop=np.array(stop, dtype=np.int64),
        vehicle=np.array(key, dtype=np.int64),
        other=np.array(other, dtype=np.int64),
        measured=np.array(measured, dtype=float),
    )


def judge(episodes, at, *rows, confirm=False, hand_over=False):
    """What is told at a moment: (key, word) in order of keys."""
    verdict = episodes.judge(sightings(*rows), at, AFTER_S, confirm, hand_over)
    told = [(int(episodes.key[i]), "raised" if episodes.revision[i] == 0 else "changed") for i in verdict.tell]
    told += [(int(episodes.key[i]), "resolved") for i in verdict.resolved]
    episodes.end(verdict.resolved)
    return sorted(told)


class Naive:
    """The same by one dictionary, a subject at a time."""

    def __init__(self):
        self.known = {}

    def judge(self, at, rows, confirm):
        told = []
        sighted = {key: (firm, stop, measured) for key, firm, stop, _, measured in rows}
        for key in sorted({*sighted, *self.known}):
            seen, e = sighted.get(key), self.known.get(key)
            if e is None:
                if seen is None or not seen[0]:
                    continue
                e = self.known[key] = {"since": at, "evidence": seen[2], "told": False, "clear": None}
            if not e["told"]:
                if seen is None or not seen[0]:
                    del self.known[key]
                elif at - e["since"] >= AFTER_S and (not confirm or seen[2] > e["evidence"]):
                    e.update(told=True, told_at=at, stop=seen[1])
                    told.append((key, "raised"))
            elif seen is None:
                e["clear"] = at if e["clear"] is None else e["clear"]
                if at - e["clear"] >= AFTER_S:
                    told.append((key, "resolved"))
                    del self.known[key]
            else:
                e["clear"] = None
                if at - e["told_at"] >= UPDATE_EVERY_S and e["stop"] != seen[1]:
                    e.update(told_at=at, stop=seen[1])
                    told.append((key, "changed"))
        return sorted(told)


moment = st.lists(
    st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 1), st.just(0), st.integers(0, 2)),
    max_size=5,
    unique_by=lambda row: row[0],
)


@given(st.lists(st.tuples(moment, st.sampled_from([5.0, 30.0, 65.0])), max_size=25), st.booleans(), st.booleans())
def test_episodes_agree_with_looking_at_one_subject_after_the_other(moments, confirm, crash):
    episodes, naive, at = Episodes(), Naive(), 1000.0
    for rows, step in moments:
        at += step
        assert judge(episodes, at, *rows, confirm=confirm) == naive.judge(at, rows, confirm)
        assert (np.diff(episodes.key) > 0).all()
        if crash:
            episodes = Episodes.load(episodes.dump())


@given(st.lists(st.sampled_from(["firm", "soft", "none"]), max_size=60))
def test_an_episode_is_told_and_resolved_in_turn_and_never_within_its_time(words):
    episodes, told = Episodes(), []
    for i, word in enumerate(words):
        rows = [] if word == "none" else [(7, word == "firm", 0, 0, 0)]
        told += [(5.0 * i, word) for _, word in judge(episodes, 5.0 * i, *rows)]
    assert [word for _, word in told] == ["raised", "resolved"] * (len(told) // 2) + ["raised"] * (len(told) % 2)
    assert all(b - a >= AFTER_S for (a, _), (b, _) in pairwise(told))


def test_a_headway_that_has_grown_by_a_quarter_is_told_anew_but_once_a_minute():
    episodes, told = Episodes(), []
    for at in range(0, 600, 5):
        s = Sightings.of(np.array([1]), value=np.array([600.0 + at]))
        verdict = episodes.judge(s, float(at), AFTER_S, confirm=False, hand_over=False)
        told += [float(s.value[0])] * len(verdict.tell)
    assert told == [660.0, 825.0, 1035.0]


def test_one_measurement_is_no_alert_however_long_it_stands():
    episodes = Episodes()
    for at in range(0, 600, 5):
        assert judge(episodes, float(at), (1, True, 0, 0, 3.0), confirm=True) == []
    assert judge(episodes, 600.0, (1, True, 0, 0, 4.0), confirm=True) == [(1, "raised")]
    assert episodes.since.tolist() == [0.0]


def test_a_told_episode_goes_on_as_what_its_leader_is_sighted_with_next():
    episodes = Episodes()
    judge(episodes, 0.0, (5, True, 0, 9, 0.0), hand_over=True)
    assert judge(episodes, 60.0, (5, True, 0, 9, 1.0), hand_over=True) == [(5, "raised")]
    judge(episodes, 65.0, (5, True, 0, 9, 1.0), (8, True, 0, 4, 1.0), hand_over=True)
    assert judge(episodes, 125.0, (3, True, 0, 9, 2.0), (8, True, 0, 4, 2.0), hand_over=True) == [
        (3, "changed"),
        (8, "raised"),
    ]
    assert episodes.key.tolist() == [3, 8]
    assert episodes.since[0] == 0.0
    assert not judge(episodes, 130.0, (5, True, 0, 7, 2.0), (8, True, 0, 4, 2.0), hand_over=True), "another leader"
    assert judge(episodes, 190.0, (8, True, 0, 4, 2.0), hand_over=True) == [(3, "resolved")]


def test_what_had_begun_on_its_own_is_not_told_beside_what_it_takes_over():
    episodes = Episodes()
    for at in (0.0, 60.0):
        judge(episodes, at, (5, True, 0, 9, at), hand_over=True)
    judge(episodes, 65.0, (2, True, 0, 8, 0.0), (5, True, 0, 9, 61.0), hand_over=True)
    judge(episodes, 70.0, (2, True, 0, 9, 62.0), hand_over=True)
    assert episodes.key.tolist() == [2]
    assert episodes.revision.tolist() == [0]


def test_subjects_follow_new_numbers_and_the_forgotten_go():
    episodes = Episodes()
    judge(episodes, 0.0, (1, True, 0, 2, 0.0), (2, True, 0, 3, 0.0), (3, True, 0, -1, 0.0))
    number = np.array([-1, 2, -1, 0])
    episodes.renumber(number[episodes.key], number)
    assert episodes.key.tolist() == [0, 2]
    assert episodes.other.tolist() == [-1, -1]
    assert judge(episodes, 60.0, (0, True, 0, 0, 0.0), (2, True, 0, 0, 0.0)) == [(0, "raised"), (2, "raised")]


def test_of_several_sightings_of_one_owner_the_last_counts():
    s = sightings((1, True, 10, 6, 0.0), (2, True, 11, 6, 0.0), (3, False, 12, 5, 0.0))
    last = s.last_of(s.other)
    assert last.key.tolist() == [2, 3]
    assert last.stop.tolist() == [11, 12]
    assert math.isnan(last.value[0])


@pytest.mark.parametrize("restated", [False, True])
def test_what_stands_is_what_was_told_before_and_not_changed(restated):
    episodes = Episodes()
    judge(episodes, 0.0, (1, True, 0, 0, 0.0))
    verdict = episodes.judge(sightings((1, True, 0, 0, 0.0)), 60.0, AFTER_S, False, False)
    assert (verdict.tell.tolist(), verdict.standing.tolist()) == ([0], [])
    if restated:
        verdict = episodes.judge(sightings(), 65.0, AFTER_S, False, False)
        assert (verdict.tell.tolist(), verdict.standing.tolist()) == ([], [0])
