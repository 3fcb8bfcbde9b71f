"""`python -m benchmarks [NAME…] [--short]`: every benchmark, or those named; results go to benchmarks/results."""

import importlib

import click

from benchmarks.harness import Benchmark

NAMES = (
    "kernels",
    "engine",
    "pipeline",
    "latency",
    "api",
    "accuracy.tracker",
    "accuracy.recorded",
    "accuracy.headways",
    "accuracy.arrivals",
)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option(
    "--short", is_flag=True, help="Small inputs, seconds each: proves that the benchmarks still work; not saved."
)
def main(names: tuple[str, ...], short: bool) -> None:
    """Run benchmarks: each checks its result before it reports a rate."""
    for name in names or NAMES:
        bench = Benchmark(name, short)
        importlib.import_module(f"benchmarks.{name}").run(bench)
        bench.save()


if __name__ == "__main__":
    main()
