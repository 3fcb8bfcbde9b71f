"""What a profile carries from one run to the next, and from one feed to the other."""

import numpy as np
import pytest

from streams.engine import profile
from streams.engine.arrivals import Arrivals
from streams.engine.city import City
from streams.engine.congestion import Congestion
from streams.engine.headways import Headways
from streams.engine.profile import About, UnusableProfile
from streams.settings import Settings
from tests.engine import riding
from tests.engine.riding import MIDNIGHT
from tests.engine.test_arrivals import at, run

SETTINGS = Settings()
EIGHT = MIDNIGHT + 8 * 3600.0


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return riding.street(tmp_path_factory.mktemp("street"))


def city_of(network, learned=None):
    return City(
        network,
        SETTINGS,
        (Headways(network, SETTINGS), Congestion(network, SETTINGS), Arrivals(network, SETTINGS)),
        learned,
    )


@pytest.fixture(scope="module")
def learned(network):
    """Twenty buses that took 200 s for each link that the timetable gives 120, and waited 400 s at the start."""
    rides = []
    for v in range(10):
        for n in range(2):
            start = EIGHT + 240.0 * v + 1800.0 * n
            rides.append(riding.ride(network, f"B{v}", start, 200.0, run=n, layover_until=start))
            if n:
                rides[-1].time[0] = start - 790.0
    city = city_of(network)
    _, state = run(network, riding.records(network, rides, 20.0, until=EIGHT + 4 * 3600), city=city)
    return state, city.learned(state)


def about(network, learned):
    return About(network.hash, "v1", "UTC", EIGHT, EIGHT + 3600, 1000, **profile.counts(learned))


def test_a_profile_comes_back_from_its_bytes(network, learned):
    said = about(network, learned[1])
    assert said.passages == pytest.approx(100, abs=2)
    assert (said.links, said.terminals) == (5, 1)
    assert said.residuals > 100
    data = profile.pack(said, learned[1])
    again = profile.unpack(data)
    assert again[0] == said
    assert profile.pack(*again) == data


def test_the_next_day_begins_with_what_was_learned(network, learned):
    """The first statements of the day know the running times, the pace, the wait and the residuals."""
    state, known = learned
    city = city_of(network, profile.unpack(profile.pack(about(network, known), known))[1])
    tomorrow = EIGHT + 86_400 + 1000
    rows, begun = run(network, riding.records(network, [riding.ride(network, "A", tomorrow, 200.0)]), city=city)
    now = at(rows, tomorrow + 20)
    assert now[5]["arrival_p50"] - tomorrow == pytest.approx(1000, rel=0.05)
    cold, _ = run(network, riding.records(network, [riding.ride(network, "A", tomorrow, 200.0)]), city=city_of(network))
    assert at(cold, tomorrow + 20)[5]["arrival_p50"] - tomorrow < 700
    fresh = city.fresh(0).parts
    assert fresh["arrivals"].terminals.waits.sum() == 10
    assert (fresh["arrivals"].terminals.waits == state.parts["arrivals"].terminals.waits).all()
    assert (fresh["arrivals"].residuals.tracked == state.parts["arrivals"].residuals.tracked).all()
    assert (fresh["congestion"].cell_s == state.parts["congestion"].cell_s).all()
    assert np.isnan(fresh["congestion"].seen_at).all()
    assert np.isnan(fresh["congestion"].next_window)
    assert begun.parts["arrivals"].running.sum_s.sum() > fresh["arrivals"].running.sum_s.sum()


def test_two_cities_do_not_learn_into_one_profile(network, learned):
    """A state begun with a profile has arrays of its own."""
    before = profile.pack(about(network, learned[1]), learned[1])
    known = profile.unpack(before)[1]
    run(
        network,
        riding.records(network, [riding.ride(network, "A", EIGHT + 90_000, 300.0)]),
        city=city_of(network, known),
    )
    assert profile.pack(about(network, known), known) == before


def test_another_feed_of_the_city_finds_its_stops_again(network, learned, tmp_path):
    """A longer line whose timetable gives 100 s: links it shares take what they took, the others what is planned."""
    longer = riding.street(tmp_path, stops=8, hop_s=100.0)
    begun = city_of(longer, learned[1]).fresh(0).parts["arrivals"]
    shared = [longer.stop_ids[b] <= "S5" for b in longer.link_to_stop_ix]
    assert ((begun.running.sum_s > 0) == shared).all()
    weight = begun.running.sum_prior_s[shared]
    prior = city_of(longer).parts[2].running.prior_s[shared]
    passages = begun.running.sum_s[shared] / 200.0
    assert weight / prior == pytest.approx(passages, rel=0.02)
    assert begun.terminals.waits.sum() == 10


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"PAR1\x15\x04", "this is no profile"),
        (b"", "this is no profile"),
        (b"koridor profile\nKST1\xff\xff", "cut short or damaged"),
    ],
)
def test_what_is_no_profile_is_refused(data, says):
    with pytest.raises(UnusableProfile, match=says):
        profile.unpack(data)


def test_a_profile_of_another_version_is_refused(network, learned, monkeypatch, tmp_path):
    monkeypatch.setattr(profile, "VERSION", 99)
    file = tmp_path / "city.profile"
    file.write_bytes(profile.pack(about(network, learned[1]), learned[1]))
    monkeypatch.undo()
    reads = f"city.profile: the profile is of version 99, this program reads {profile.VERSION}; learn"
    with pytest.raises(UnusableProfile, match=reads):
        profile.read_profile(file)


def test_a_worker_begins_with_the_profile_of_its_settings(network, learned, tmp_path):
    file = tmp_path / "city.profile"
    file.write_bytes(profile.pack(about(network, learned[1]), learned[1]))
    assert profile.learned_of(Settings()) is None
    known = profile.learned_of(Settings.from_env({"KORIDOR_CITY_PROFILE": str(file)}))
    assert known is not None
    assert (known["arrivals"]["running"]["sum_s"] == learned[1]["arrivals"]["running"]["sum_s"]).all()
