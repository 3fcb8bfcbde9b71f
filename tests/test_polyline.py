import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.polyline import decode, encode

POINTS = st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), max_size=20)


def test_the_example_of_its_definition():
    points = [(38.5, -120.2), (40.7, -120.95), (43.252, -126.453)]
    assert encode(points) == "_p~iF~ps|U_ulLnnqC_mqNvxq`@"
    assert decode("_p~iF~ps|U_ulLnnqC_mqNvxq`@") == points


@given(POINTS)
def test_a_line_comes_back_to_the_fifth_decimal(points):
    found = decode(encode(points))
    assert len(found) == len(points)
    for (lat, lon), (a, o) in zip(points, found, strict=True):
        assert (a, o) == (pytest.approx(lat, abs=0.5001e-5), pytest.approx(lon, abs=0.5001e-5))


@pytest.mark.parametrize("text", ["_p~iF", "_p~iF~ps|", "_"])
def test_a_line_that_is_cut_off_is_refused(text):
    with pytest.raises(ValueError, match="amid a point"):
        decode(text)
