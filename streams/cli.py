"""The `koridor` command. Each subcommand stands in the file that does the work and is imported when it is called."""

import importlib
from typing import Any

import click

COMMANDS = {
    # name: (module:click command, what it does, in the order a newcomer meets them)
    "run": ("streams.run:command", "Everything at once: broker, worker, API and a recording on the map"),
    "broker": ("streams.broker:command", "Start the embedded Apache Kafka"),
    "worker": ("streams.app:command", "Start a worker: pings in, facts and statements out"),
    "api": ("api.app:command", "Start the HTTP service and the map"),
    "play": ("streams.replay.play:command", "Feed a recording (or a live feed) into `pings`"),
    "replay": ("streams.replay.run:command", "Run a recording through the engine without a broker"),
    "explain": ("streams.replay.explain:command", "What the tracker believed of one vehicle, ping by ping, and why"),
    "learn": (
        "streams.replay.learn:command",
        "Learn a city from recordings: a profile that replays and workers begin with",
    ),
    "score": (
        "streams.replay.score:command",
        "How good arrival estimates were, a replay's or a live feed's, beside simple means",
    ),
    "simulate": ("fixtures.simulate:command", "Make a city and its buses, with the truth beside every ping"),
    "feed": ("streams.gtfs.check:command", "Look into a GTFS feed"),
    "settings": ("streams.cli:settings_command", "List every setting"),
}


class Lazy(click.Group):
    """Imports a subcommand only when it is asked for: `koridor --help` needs no numba."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in COMMANDS' order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The subcommand of this name."""
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        found: Any = getattr(importlib.import_module(module), attribute)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Help texts come from COMMANDS, so that nothing is imported for them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="koridor")
def main() -> None:
    """Real-time transit tracking: bus pings in, positions, headways, congestion and arrivals out."""


@click.command("settings")
def settings_command() -> None:
    """List every setting: environment variable, default, unit, reason."""
    from streams.settings import table

    for name, default, unit, reason in table():
        click.echo(f"{name:34} {default or '(empty)':12} {unit:8} {reason}")
