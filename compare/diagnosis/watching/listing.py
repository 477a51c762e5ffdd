"""The candidate's source, line by line, with what each line computes."""

from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np

from compare.diagnosis.case import Line
from compare.diagnosis.locating.expectations import same
from compare.diagnosis.locating.locate import Location, Locator, Target
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.handing import Handing
from compare.diagnosis.watching.references import Match, Reference
from compare.diagnosis.watching.sources import Sources
from compare.sites import source
from compare.trees import in_double

__all__ = ["described", "listing", "with_marked"]


def listing(
    locator: Locator,
    locations: Sequence[Location],
    suspects: Sequence[str],
    sources: Sources,
    handings: Sequence[Handing] = (),
) -> tuple[Line, ...]:
    """Lists the lines of the candidate that computed something, in the order of the source.

    Args:
        locator: of the mistake.
        locations: where lines compute what is wrong.
        suspects: "file:line" of those that can hold the mistake.
        sources: of the candidate.
        handings: the lines that hand on what is wrong there, and compute nothing.
    """
    graph = locator.graph
    wrong = {i for location in locations for i in location.target.group}
    wrong |= {i for group in locator.zeros().values() for i in group}
    misled = {i for handing in handings for i in handing.readers}
    after = _after(graph, wrong) | misled | _after(graph, misled)
    by_site: dict[str, list[int]] = defaultdict(list)
    for index, equation in enumerate(graph.equations):
        if equation.site:
            by_site[equation.site].append(index)
    lines = []
    for site, indices in by_site.items():
        file, _, number = site.rpartition(":")
        status, what = _said(locator, locations, indices, after, site, suspects)
        lines.append(Line(file, int(number), source(site), sources.variable(site), what, status))
    for handing in {own.site: own for own in handings}.values():
        if handing.site == next(iter(suspects), "") and handing.site not in by_site:
            file, _, number = handing.site.rpartition(":")
            known = handing.reference and locator.references.preferred(handing.reference)
            what = f"should be {described(known)}" if known else ""
            variable = sources.variable(handing.site)
            lines.append(Line(file, int(number), source(handing.site), variable, what, "wrong"))
    return tuple(sorted(lines, key=lambda line: (line.file, line.line)))


def with_marked(lines: tuple[Line, ...], suspects: Sequence[str]) -> tuple[Line, ...]:
    """Adds the line that is suspected most to a listing, if it computes nothing, as a `for`."""
    if not lines or not suspects or suspects[0] in {f"{x.file}:{x.line}" for x in lines}:
        return lines
    file, _, number = suspects[0].rpartition(":")
    marked = Line(file, int(number), source(suspects[0]), "", "", "wrong")
    return tuple(sorted([*lines, marked], key=lambda line: (line.file, line.line)))


def _said(
    locator: Locator,
    locations: Sequence[Location],
    indices: list[int],
    after: Collection[int],
    site: str,
    suspects: Sequence[str],
) -> tuple[str, str]:
    """The status of a line, and what it computes."""
    graph = locator.graph
    for location in locations:
        for target in (location.target, location.innermost):
            if set(target.group) & set(indices) and (
                site in suspects[:1] or not all(map(graph.makes_zeros, target.group))
            ):
                known = target.reference and locator.references.preferred(target.reference)
                expected = f"should be {described(known)}" if known else ""
                return "wrong", "; ".join(filter(None, [expected, _off(graph, target)]))
    if site in suspects[:1]:
        return "wrong", ""
    results = _results(graph, indices)
    if set(indices) & set(after):
        cause = next(iter(suspects), "").rpartition(":")[2]
        return "follows", f"wrong because of line {cause}" if cause else ""
    matches = [locator.match(slot) for slot in results]
    known = list(dict.fromkeys(_match(m) for m in matches if m is not None))
    if known and all(matches):
        return "right", "; ".join(known[:2])
    if set(indices) <= locator.vouched:
        return "right", "; ".join(known[:2])
    return "unrecognised", "; ".join(known[:2])


def _off(graph: Graph, target: Target) -> str:
    """How far the numbers are off, and at which turns of a loop they are."""
    found = [in_double(graph.values[graph.equations[i].outputs[0]]) for i in target.group]
    pairs = [(f, e) for f, e in zip(found, target.expected, strict=True) if f.shape == e.shape]
    errors = np.concatenate([np.abs(f - e).ravel() for f, e in pairs]) if pairs else np.zeros(0)
    known = errors[~np.isnan(errors)]  # NaN is what could not be solved for.
    if not known.size:
        return ""
    wrong = [turn for turn, pair in enumerate(pairs) if not same(*pair)]
    text, turns = f"off by up to {known.max():.2g}", len(pairs)
    if len(wrong) == 1 < turns:
        return f"{text}, in step {wrong[0] + 1} of {turns}"
    return text if len(wrong) in (0, turns) else f"{text}, in {len(wrong)} of {turns} steps"


def _results(graph: Graph, indices: list[int]) -> list[int]:
    """What other lines read of this one, or the gradient has."""
    own, outputs = set(indices), set(graph.outputs.values())
    made = [slot for i in indices for slot in graph.equations[i].outputs]
    read = [s for s in made if s in outputs or set(graph.readers[s]) - own]
    return read or made[-1:]


def _after(graph: Graph, wrong: Collection[int]) -> set[int]:
    reached = {slot for i in wrong for slot in graph.equations[i].outputs}
    found = set()
    for index, equation in enumerate(graph.equations):
        if reached & set(equation.inputs):
            found.add(index)
            reached.update(equation.outputs)
    return found - set(wrong)


def _match(match: Match) -> str:
    what = described(match.reference)
    if match.factor == -1:
        what = f"−{what}"
    elif match.factor != 1:
        what = f"{match.factor:.6g} × {what}"
    return f"{what}, transposed" if match.axes is not None else what


def described(reference: Reference) -> str:
    """Says what a reference is: `z of the loss (line 8)`, `∂L/∂z`, `∂L/∂(x @ w)`."""
    name = reference.about or "a value"
    number = reference.site.rpartition(":")[2]
    if reference.kind == "value":
        of = "" if name == "the loss" else " of the loss"
        return f"{name}{of} (line {number})" if number else name
    what = {
        "gradient": "∂L/∂{}",
        "term": "a term of ∂L/∂{}",
        "slope": "the derivative of {}",
        "conjugate": "the conjugate of ∂L/∂{}",
    }
    bare = reference.named or reference.kind == "slope"
    return what[reference.kind].format(name if bare else f"({name})")
