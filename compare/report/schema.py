"""The schema of results as JSON: what a document must hold before anything is shown of it.

Fields that no command of ours shows may be there too. Sizes and numbers have limits, since a file
may come from anywhere: without them it would decide how much memory and time a page takes.
"""

from typing import Annotated, Any, Literal

import msgspec

from compare.escapes import escaped

__all__ = ["Document", "json_schema", "validated"]

Number = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]
Drawn = Annotated[float, msgspec.Meta(ge=-1e100, le=1e100)]
"""A number on an axis, which may be logarithmic."""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Size = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
Text = Annotated[str, msgspec.Meta(max_length=100_000)]
Nonfinite = Literal["nan", "inf", "-inf"] | None
"""Says which number stands behind a null; None where none does."""

Both = msgspec.Meta(min_length=2, max_length=2)
UpTo20 = msgspec.Meta(max_length=20)
UpTo32 = msgspec.Meta(max_length=32)
UpTo64 = msgspec.Meta(max_length=64)
UpTo100 = msgspec.Meta(max_length=100)
UpTo128 = msgspec.Meta(max_length=128)
UpTo200 = msgspec.Meta(max_length=200)
UpTo1000 = msgspec.Meta(max_length=1_000)
UpTo10000 = msgspec.Meta(max_length=10_000)
Results = msgspec.Meta(min_length=1, max_length=2000)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _is_table(rows: list[list[Any]]) -> bool:
    return len({len(row) for row in rows}) <= 1


class Environment(msgspec.Struct, omit_defaults=True):
    """Where results come from."""

    platform: Text = ""
    device_kind: Text = ""
    device_count: Count = 0
    jax: Text = ""
    jaxlib: Text = ""
    numpy: Text = ""
    python: Text = ""
    matmul_precision: Text = ""


class Derivation(msgspec.Struct):
    """The docstrings of a rule or model."""

    rule: Text
    fwd: Text
    bwd: Text
    about: Text = ""


class Loss(msgspec.Struct):
    """The loss of each side."""

    manual: Number | None
    autodiff: Number | None
    reference: Number | None
    manual_nonfinite: Nonfinite = None
    autodiff_nonfinite: Nonfinite = None
    reference_nonfinite: Nonfinite = None


class Leaf(msgspec.Struct):
    """One leaf of a gradient."""

    path: Text
    shape: Annotated[list[Size], UpTo32]
    dtype: Text
    agrees: bool
    max_abs: Number | None
    max_rel: Number | None
    max_ulp: Number | None
    ratio: Number | None
    cosine: Number | None
    noise: Number | None
    tolerance: Number | None
    index: Annotated[list[Size], UpTo32] | None
    manual: Number | Annotated[list[Number | None], Both] | None
    reference: Number | Annotated[list[Number | None], Both] | None
    max_abs_nonfinite: Nonfinite = None
    max_rel_nonfinite: Nonfinite = None
    max_ulp_nonfinite: Nonfinite = None
    ratio_nonfinite: Nonfinite = None
    cosine_nonfinite: Nonfinite = None
    noise_nonfinite: Nonfinite = None
    tolerance_nonfinite: Nonfinite = None
    manual_nonfinite: Nonfinite = None
    reference_nonfinite: Nonfinite = None
    error_map: Annotated[list[Annotated[list[Drawn | None], UpTo64]], UpTo64] | None = None

    def __post_init__(self) -> None:
        """Holds the picture of the errors against the shape."""
        if not self.error_map:
            return
        entries = [entry for row in self.error_map for entry in row]
        known = [0.0 if entry is None else entry for entry in entries]
        _require(_is_table(self.error_map), "an error map whose rows are not of one length")
        _require(len(self.shape) == 2 and min(self.shape) > 0, "an error map, and no matrix")
        finite = self.max_abs is not None
        _require(finite <= (None not in entries), "an error map with nulls, and a finite error")
        highest = max(known, default=0.0) if finite else float(None in entries)
        _require(highest > 1e-100 and min(known) >= 0, "an error map without an error")


class Diagnosis(msgspec.Struct, omit_defaults=True):
    """The bug of a wrong gradient."""

    bug: Text
    site: Text
    evidence: Text
    confirmed: bool
    at: Text = ""
    source: Text = ""
    advice: Text = ""
    also: Annotated[list[Text], UpTo100] = []
    lines: Annotated[list[Text], UpTo10000] = []


class Compared(msgspec.Struct, kw_only=True):
    """One report."""

    dtype: Text
    jit: bool
    platform: Text
    precision: Text
    agree: bool
    verdict: Text
    loss: Loss
    leaves: Annotated[list[Leaf], UpTo10000]
    worst: Text | None
    details: Annotated[list[Text], UpTo1000]
    diagnosis: Diagnosis | None
    name: Text = ""
    device_kind: Text = ""
    meaning: Text = ""
    detectable: Number | None = None
    detectable_nonfinite: Nonfinite = None


class Gradients(Compared, kw_only=True):
    """One comparison of gradients."""

    problem: Text
    model: Text
    dataset: Text
    settings: Text = ""
    batch: Size | None = None


class Check(Compared, kw_only=True):
    """One check of a person's own function; `test` is the one that made it, "" where none did."""

    test: Text = ""
    seed: Count = 0
    seconds: Number = 0.0


class Look(msgspec.Struct):
    """One look at a training."""

    epoch: Count
    test_accuracy: Share
    train_accuracy: Share | None = None
    train_loss: Drawn | None = None
    test_loss: Drawn | None = None


class Pair(msgspec.Struct):
    """Two classes that are confused, with examples."""

    truth: Count
    predicted: Count
    count: Count
    images: Annotated[list[Annotated[list[Annotated[list[Count], UpTo128]], UpTo128]], UpTo20]

    def __post_init__(self) -> None:
        """Holds the rows of each image against each other."""
        for rows in self.images:
            _require(bool(rows and rows[0]) and _is_table(rows), "an image that is no rectangle")


class Norm(msgspec.Struct):
    """The norm of one leaf's gradient before and after a training."""

    leaf: Text
    first: Drawn | None
    last: Drawn | None


class Plane(msgspec.Struct):
    """The probability of class 1 over two inputs."""

    x: Annotated[list[Drawn], UpTo200]
    y: Annotated[list[Drawn], UpTo200]
    probability: Annotated[list[Annotated[list[Share], UpTo200]], UpTo200]

    def __post_init__(self) -> None:
        """Holds the table against its axes."""
        shape = len(self.probability), len((self.probability or [[]])[0])
        _require(
            _is_table(self.probability) and shape == (len(self.y), len(self.x)) and min(shape) > 1,
            "a plane whose table does not fit its axes",
        )
        for axis in (self.x, self.y):
            _require(sorted(set(axis)) == axis, "a plane whose axes do not rise")


class Parting(msgspec.Struct):
    """How two trainings part."""

    verdict: Literal["identical", "chaos", "defect"]
    identical_steps: Count
    step: Count
    leaf: Text
    excess: Number | None
    steps: Annotated[list[Count], UpTo10000]
    distance: Annotated[list[Drawn | None], UpTo10000]
    spread: Annotated[list[Drawn | None], UpTo10000]
    onset: Count | None = None

    def __post_init__(self) -> None:
        """Holds the lengths of the curves against each other."""
        lengths = {len(self.steps), len(self.distance), len(self.spread)}
        _require(len(lengths) == 1 and lengths != {0}, "curves that are not of one length")


class Training(msgspec.Struct):
    """One side of a training."""

    problem: Text
    model: Text
    dataset: Text
    method: Literal["manual", "autodiff"]
    history: Annotated[list[Look], UpTo10000]
    confusion: Annotated[list[Annotated[list[Count], UpTo100]], UpTo100]
    hidden: Annotated[list[Annotated[int, msgspec.Meta(gt=0, le=2**40)]], UpTo100] | None = None
    dtype: Literal["float64", "float32", "bfloat16"] | None = None
    settings: Text = ""
    optimizer: Text | None = None
    learning_rate: Number | None = None
    schedule: Text | None = None
    clip: Number | None = None
    weight_decay: Number | None = None
    batch: Size | None = None
    epochs: Count | None = None
    seed: int | None = None
    devices: Count | None = None
    seconds: Number | None = None
    compile_seconds: Number | None = None
    samples_per_second: Number | None = None
    seconds_to_98: Number | None = None
    precision: Annotated[list[Share | None], UpTo100] = []
    recall: Annotated[list[Share | None], UpTo100] = []
    confused_pairs: Annotated[list[Pair], UpTo20] = []
    gradient_norms: Annotated[list[Norm], UpTo1000] = []
    decision_boundary: Plane | None = None
    parting: Parting | None = None

    def __post_init__(self) -> None:
        """Holds the numbers of the classes against each other."""
        count = len(self.confusion)
        _require(all(len(row) == count for row in self.confusion), "a confusion that is no square")
        _require(len(self.precision) == len(self.recall), "a recall for each precision")


class Benchmark(msgspec.Struct):
    """The time and memory of one engine, or the cost of one method of checking."""

    model: Text
    batch: Text
    engine: Text
    median_ms: Number | None
    ratio: Drawn | None
    ratio_low: Drawn | None
    ratio_high: Drawn | None
    dtype: Text = ""
    min_ms: Number | None = None
    compile_ms: Number | None = None
    temp_bytes: Count | None = None
    temp_ratio: Drawn | None = None
    rounds: Count | None = None
    limit_ms: Number | None = None
    proof_ms: Number | None = None
    parameters: Count | None = None

    def __post_init__(self) -> None:
        """Requires the ratios of the engines, which are shown beside each other."""
        ratios = (self.ratio, self.ratio_low, self.ratio_high)
        _require(self.engine not in ENGINES or None not in ratios, "an engine without a ratio")


ENGINES = (
    "manual", "autodiff", "autodiff_same_forward", "torch", "torch_compiled", "numpy", "scalar"
)  # fmt: skip
"""The engines that subjects are timed at; other rows are methods of checking."""


class Claim(msgspec.Struct):
    """One claim of an article."""

    article: Text
    claim: Text
    method: Text
    claimed: Text
    measured: Text
    holds: bool | None
    note: Text = ""
    settings: Text = ""
    published: bool = True


class Mutant(msgspec.Struct):
    """The checker against one wrong gradient."""

    mutant: Text
    expected: Text | None
    detected: bool
    verdict: Text
    named: Text | None
    confirmed: bool
    right: bool | None
    seconds: Number


class _Document(msgspec.Struct, tag_field="command", kw_only=True):
    """The JSON of one command."""

    schema_version: Literal[1]
    environment: Environment
    reproduce: Text = ""
    derivations: Annotated[list[Derivation], UpTo1000] = []


class GradientsDocument(_Document, tag="gradients"):
    """What `gradients` writes."""

    results: Annotated[list[Gradients], Results]


class CheckDocument(_Document, tag="check"):
    """What `check`, a report and a session of tests write."""

    results: Annotated[list[Check], Results]


class TrainDocument(_Document, tag="train"):
    """What `train` writes."""

    results: Annotated[list[Training], Results]


class BenchDocument(_Document, tag="bench"):
    """What `bench` writes."""

    results: Annotated[list[Benchmark], Results]


class ArticlesDocument(_Document, tag="articles"):
    """What `articles` writes."""

    results: Annotated[list[Claim], Results]


class MutantsDocument(_Document, tag="mutants"):
    """What `mutants` writes."""

    results: Annotated[list[Mutant], Results]


Document = (
    GradientsDocument
    | CheckDocument
    | TrainDocument
    | BenchDocument
    | ArticlesDocument
    | MutantsDocument
)
"""The JSON of any command whose results are shown; the field `command` says which it is."""


def validated(content: bytes) -> dict[str, Any]:
    """Reads a document and holds it against the schema.

    Returns:
        The document in JSON's types: what the schema has, and its defaults for what is not there.

    Raises:
        ValueError: it is no JSON, or not such a document; the message is one line.
    """
    try:
        return msgspec.to_builtins(msgspec.json.decode(content, type=Document))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except msgspec.MsgspecError as error:  # which repeats what it has found
        if (found := _of_report(content)) is not None:
            return found
        raise ValueError(escaped(str(error))[:300]) from error


def _of_report(content: bytes) -> dict[str, Any] | None:
    """Makes a document of one report, which is what `GradientReport.to_dict` gives."""
    try:
        report = msgspec.json.decode(content, type=Check)
    except msgspec.MsgspecError:
        return None
    where = Environment(report.platform, report.device_kind, matmul_precision=report.precision)
    return msgspec.to_builtins(CheckDocument(schema_version=1, environment=where, results=[report]))


def json_schema() -> dict[str, Any]:
    """Returns the schema as JSON Schema: what docs/schema.json has."""
    schemas, parts = msgspec.json.schema_components([Document], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Results of handgrad",
        **schemas[0],
        "$defs": parts,
    }
