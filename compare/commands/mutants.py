"""The command `mutants`: runs the checker against wrong gradients."""

import tyro

from compare import terminal
from compare.commands import outputs
from compare.commands.options import AGREE, DISAGREE, OptionalPath, UsageError
from compare.mutants import run_all
from compare.report import json_file

__all__ = ["mutants"]


def mutants(
    only: tyro.conf.Positional[str] = "",
    /,
    *,
    seed: int = 0,
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
    console = terminal.console()
    runs = []
    with terminal.progress("running mutants") as status:
        for run in run_all(only, seed):
            runs.append(run)
            status.update(f"{len(runs)} mutants run, the last: {run.mutant}")
    if not runs:
        raise UsageError(f"no mutant's name contains {only!r}; leave it out to run them all")
    environment = json_file.environment("highest")
    console.print(terminal.header(environment, ["the gallery of mutants"], []))
    results = [run._asdict() for run in runs]
    console.print(terminal.mutants.mutant_table(results))
    outputs.save("mutants", environment, results, json=json, report=report)
    return AGREE if all(run.detected and run.right is not False for run in runs) else DISAGREE
