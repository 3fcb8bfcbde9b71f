"""Every benchmark in its short form: none of them can rot. What they measure here is of no interest."""

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import NAMES, main

_WITH_BROKER = ("pipeline", "latency", "api")


def _one(name: str) -> object:
    # Those with a Kafka of their own follow each other; the rest run wherever there is room.
    if name in _WITH_BROKER:
        return pytest.param(name, marks=[pytest.mark.broker, pytest.mark.xdist_group("benchmarks with a broker")])
    return pytest.param(name, marks=pytest.mark.xdist_group(f"benchmark {name}"))


@pytest.mark.parametrize("name", [_one(name) for name in NAMES])
def test_the_short_form_runs_and_its_own_checks_hold(name, request):
    if name == "accuracy.recorded":
        request.getfixturevalue("data_dir")
    run = CliRunner().invoke(main, [name, "--short"], catch_exceptions=False)
    assert run.exit_code == 0, run.output
    assert f"{name} " in run.output, "no figure was told"
