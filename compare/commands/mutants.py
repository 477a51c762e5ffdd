"""The command `mutants`: runs the checker against wrong gradients."""

import tyro

from compare import terminal
from compare.commands import outputs
from compare.commands.options import AGREE, DISAGREE, OptionalPath, Seed, UsageError
from compare.mutants import mutants as gallery
from compare.mutants import run
from compare.report import json_file

__all__ = ["mutants"]


def mutants(
    only: tyro.conf.Positional[str] = "",
    /,
    *,
    seed: Seed = 0,
    json: OptionalPath = None,
    report: OptionalPath = None,
) -> int:
    """Run the checker against a gallery of classic wrong gradients: detected? named?

    Args:
        only: those whose name contains this; all if not given.
        seed: of the parameters and the data.
        json: write the results to this file.
        report: write them to this file as a page for a browser.
    """
    outputs.require(json=json, report=report)
    chosen = [mutant for mutant in gallery() if only in mutant.name]
    if not chosen:
        raise UsageError(f"no mutant's name contains {only!r}; leave it out to run them all")
    console, environment = terminal.console(), json_file.environment("highest")
    console.print(terminal.header(environment, ["the gallery of mutants"], []))
    console.print(terminal.mutants.LEGEND, terminal.mutants.mutant_head(), sep="\n")
    with (
        outputs.Growing("mutants", environment, json=json, report=report) as kept,
        terminal.progress("running mutants") as status,
    ):
        for i, mutant in enumerate(chosen):
            status.update(f"{i + 1} of {len(chosen)}: {mutant.name}")
            result = run(mutant, seed)._asdict()
            row = terminal.mutants.mutant_row(result, console.width)
            terminal.print_above(status, console, row)
            kept.add([result])
    results = kept.results
    console.print(terminal.mutants.totals(results))
    kept.finish(console)
    right = all(result["detected"] and result["right"] is not False for result in results)
    return AGREE if right else DISAGREE
