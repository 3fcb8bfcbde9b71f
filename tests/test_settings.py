"""Settings: what the environment says, and what is refused with the name and the repair."""

from dataclasses import fields

import pytest

from streams.settings import Settings, WrongSetting, table


def test_nothing_set_gives_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()


def test_variables_of_other_programs_do_not_matter() -> None:
    assert Settings.from_env({"PATH": "/bin", "KORIDORX": "1", "KORIDOR_HOME": "/tmp"}) == Settings()


def test_every_variable_in_the_table_reaches_its_setting() -> None:
    for name, default, _, reason in table():
        assert reason, name
        assert Settings.from_env({name: default}) == Settings(), name


def test_values_take_the_type_of_their_setting() -> None:
    settings = Settings.from_env(
        {"KORIDOR_BROKERS": "a:1,b:2", "KORIDOR_PARTITIONS": "8", "KORIDOR_TRACK_LATENESS_S": "12.5"}
    )
    assert settings.kafka.brokers == "a:1,b:2"
    assert settings.kafka.partitions == 8
    assert settings.track.lateness_s == 12.5


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("KORIDOR_PARTITIONS", "many", "needs a whole number"),
        ("KORIDOR_TRACK_LATENESS_S", "much", "needs a number"),
        ("KORIDOR_PARTITIONS", "0", "at least 1"),
        ("KORIDOR_PARTITIONS", "2000", "at most 1024"),
        ("KORIDOR_PARTITIONS", "1.5", "needs a whole number"),
        ("KORIDOR_CITY_STATEMENT_S", "inf", "needs a finite number"),
        ("KORIDOR_TRACK_LATENESS_S", "nan", "at least 0"),
        ("KORIDOR_TRACK_LATENESS_S", "31", "at most 30"),
        ("KORIDOR_API_PORT", "65536", "at most 65535"),
    ],
)
def test_a_wrong_value_is_refused_with_name_and_repair(name: str, value: str, says: str) -> None:
    with pytest.raises(WrongSetting, match=name) as error:
        Settings.from_env({name: value})
    assert says in str(error.value)
    assert value in str(error.value)


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(WrongSetting, match=r"KORIDOR_TRACK_LATENES_S.*koridor settings"):
        Settings.from_env({"KORIDOR_TRACK_LATENES_S": "10"})


def test_defaults_lie_within_their_bounds() -> None:
    for group in fields(Settings):
        for f in fields(group.default_factory):  # type: ignore[arg-type]
            low, high = f.metadata["low"], f.metadata["high"]
            assert low is None or f.default >= low, f.name
            assert high is None or f.default <= high, f.name
