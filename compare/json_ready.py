"""Values as JSON has them."""

import math
from typing import Any

import jax
import numpy as np

__all__ = ["json_ready"]


def json_ready(value: Any) -> Any:
    """Turns `value` into JSON's types: arrays and tuples into lists, dataclasses stay the caller's.

    NaN and infinities become null; of an entry `name` of a dict, the entry `name_nonfinite` beside
    it says which: "nan", "inf" or "-inf".
    """
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        value = np.asarray(value).tolist()
    if isinstance(value, dict):
        ready = {}
        for name, entry in value.items():
            ready[str(name)] = own = json_ready(entry)
            if own is None and entry is not None:
                ready[f"{name}_nonfinite"] = str(float(entry))
        return ready
    if isinstance(value, list | tuple):
        return [json_ready(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
