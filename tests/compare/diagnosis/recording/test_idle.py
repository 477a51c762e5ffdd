"""Values that are handed on as they are."""

import jax
import numpy as np

from compare.diagnosis.recording.idle import Handed, Idle, Passed


def test_what_jax_is_tracing_is_left_out():
    def traced(x):
        own = np.ones(2)
        idle = Idle(
            [Passed("a.py:1", x, True), Passed("a.py:2", own, True)],
            [Handed("a.py:3", [own, x]), Handed("a.py:4", [own], "dx", "d")],
        )
        known = idle.of_numbers()
        assert [passed.site for passed in known.passed] == ["a.py:2"]
        assert [handed.site for handed in known.handed] == ["a.py:4"]
        return x

    jax.make_jaxpr(traced)(1.0)
