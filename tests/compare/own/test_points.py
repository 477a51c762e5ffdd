from types import ModuleType

import numpy as np
import pytest

from compare import own


def candidate(params, x, labels=None):
    return params, x, labels


def fwd(x, scale):
    return x, scale


GRADIENTS = own.Pair("gradients", "mlp", (candidate, candidate), "")
RULE = own.Pair("rule", "norm", (fwd, fwd), "")


def test_shapes_are_read():
    assert own.shapes("w=3x2, x=5×3,s=scalar,y=5:10,n=4") == {
        "w": own.Shape((3, 2), None), "x": own.Shape((5, 3), None), "s": own.Shape((), None),
        "y": own.Shape((5,), 10), "n": own.Shape((4,), None),
    }  # fmt: skip


@pytest.mark.parametrize("text", ["w", "w=", "w=3x", "w=3x2;x=5", "w=3x2,", "y=5:0", "=3"])
def test_what_is_no_shape_is_refused(text):
    with pytest.raises(ValueError, match="is no shape; write w=3x2,x=5x3"):
        own.shapes(text)


def test_a_name_that_is_no_argument_is_a_parameter():
    params, x = own.drawn(GRADIENTS, own.shapes("w=3x2,b=2,x=5x3"), 0)
    assert {name: leaf.shape for name, leaf in params.items()} == {"w": (3, 2), "b": (2,)}
    assert x.shape == (5, 3)
    (again, _) = own.drawn(GRADIENTS, own.shapes("w=3x2,b=2,x=5x3"), 0)
    np.testing.assert_array_equal(params["w"], again["w"])
    plain, _ = own.drawn(GRADIENTS, own.shapes("params=4,x=4"), 1)
    assert plain.shape == (4,)


def test_integers_are_below_their_number():
    x, scale = own.drawn(RULE, own.shapes("x=99:3,scale=scalar"), 0)
    assert set(x) == {0, 1, 2}
    assert np.shape(scale) == ()
    assert scale.dtype == np.float64


@pytest.mark.parametrize(
    ("pair", "text", "message"),
    [
        (RULE, "x=3", "no shape for scale; the arguments are x, scale"),
        (RULE, "x=3,scale=3,w=3", "w is no argument; the arguments are x, scale"),
        (GRADIENTS, "w=3", "no shape for x; the arguments are params, x"),
        (GRADIENTS, "x=3", "no shape for params: give one, or one for each of its arrays"),
    ],
)
def test_a_point_that_does_not_fit_is_refused(pair, text, message):
    with pytest.raises(ValueError, match=message):
        own.drawn(pair, own.shapes(text), 0)


def test_the_file_gives_the_point():
    module = ModuleType("mine")
    module.__dict__.update(inputs=lambda: (1.0, 2.0), norm_inputs=lambda: 3.0)
    assert own.given(module, "mine.py", RULE) == (3.0,)
    assert own.given(module, "mine.py", GRADIENTS) == (1.0, 2.0)
    with pytest.raises(own.OwnFileError, match=r"norm_inputs\(\) or inputs\(\) that returns \(x, "):
        own.given(ModuleType("other"), "mine.py", RULE)
