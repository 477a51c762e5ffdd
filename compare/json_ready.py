"""Values turned into the types that JSON has."""

import math
from typing import Any

import jax
import numpy as np

__all__ = ["json_ready"]


def json_ready(value: Any) -> Any:
    """Turns `value` into types that JSON has: arrays and tuples become lists.

    NaN and infinities become null. Where that happens to the entry `name` of a dict, a new entry
    `name_nonfinite` says which it was: "nan", "inf" or "-inf". A complex number becomes the list of
    its parts. Dataclasses are not converted.
    """
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        value = np.asarray(value).tolist()
    if isinstance(value, dict):
        ready = {}
        for name, entry in value.items():
            ready[str(name)] = converted = json_ready(entry)
            if converted is None and entry is not None:
                ready[f"{name}_nonfinite"] = str(float(entry))
        return ready
    if isinstance(value, list | tuple):
        return [json_ready(entry) for entry in value]
    if isinstance(value, complex):
        return [json_ready(value.real), json_ready(value.imag)]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
