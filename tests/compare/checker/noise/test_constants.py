"""What is known of constants that are rounded."""

import numpy as np

from compare.checker.noise.constants import in_full, shortest
from compare.checker.sides.widened import Rounded


def test_constants_in_full_are_known_by_those_of_float64():
    narrow = {Rounded(x.dtype, float(x)) for x in (np.float32(0.1), np.float32(1 / 3))}
    tenth, third, other = (Rounded(np.dtype(np.float64), x) for x in (0.1, 1 / 3, 0.7 / 3))
    known = in_full(narrow, {tenth, third, other})
    assert known is not None
    assert [known(x) for x in (np.float32(0.1), np.float32(1 / 3))] == [0.1, 1 / 3]
    assert in_full(narrow, {tenth}) is None
    assert in_full(narrow, {tenth, third, Rounded(np.dtype(np.float64), 0.1 + 1e-12)}) is None
    for manual, loss in ((narrow, set()), (narrow | {other}, narrow)):
        alike = in_full(manual, loss)
        assert alike is not None
        assert alike(np.float32(0.1)) == np.float32(0.1)


def test_what_a_person_will_have_written_is_the_shortest_number():
    rounded = {Rounded(x.dtype, float(x)) for x in (np.float32(0.1), np.float32(0.044715))}
    assert {constant.value for constant in shortest(rounded)} == {0.1, 0.044715}
