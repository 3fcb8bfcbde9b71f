"""The `koridor` command: every subcommand explains itself, and help needs no engine."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from streams.cli import COMMANDS, main


def below(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and every one below it, with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            assert found is not None
            yield from below(found, (*path, name))


def test_help_lists_every_command_in_order() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    at = [result.output.index(f"\n  {name} ") for name in COMMANDS]
    assert at == sorted(at)


def test_version() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.exit_code == 0
    assert ", version 0." in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_and_its_options(name: str) -> None:
    top = main.get_command(click.Context(main), name)
    assert top is not None
    for path, command in below(top, (name,)):
        result = CliRunner().invoke(main, [*path, "--help"])
        assert result.exit_code == 0, (path, result.output)
        assert result.output.startswith("Usage: ")
        assert command.help, path
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (path, parameter.name)


def test_a_command_that_is_none_is_refused() -> None:
    result = CliRunner().invoke(main, ["relay"])
    assert result.exit_code == 2
    assert "No such command 'relay'" in result.output


def test_every_setting_is_listed() -> None:
    result = CliRunner().invoke(main, ["settings"])
    assert result.exit_code == 0
    assert "KORIDOR_BROKERS" in result.output
    assert "KORIDOR_TRACK_LATENESS_S" in result.output


def test_help_imports_no_engine() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from streams.cli import main;"
        "CliRunner().invoke(main, ['--help']); print([m for m in ('numba', 'faust', 'polars') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
