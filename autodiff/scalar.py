"""A scalar engine: a number that remembers how it was made, in plain Python.

Each operation keeps the values it was made of and the derivative by each of them, its slopes.
`backward` walks from a result to all it was made of, in the order in which no value comes before
one that it went into, and applies the chain rule once for each slope:

    v = f(u₁, …, uₙ)    ∂L/∂uᵢ += ∂L/∂v · ∂v/∂uᵢ

No array and no matrix is in it, so that no mistake of a matrix derivation can be in it either. It
is a third opinion on small networks, and far too slow for others.
"""

import math

__all__ = ["Value"]


class Value:
    """A number, and how it was made.

    At the kink of `relu` and `leaky_relu`, at 0, the slope is that of `jax.nn`: 0 and 1.

    Attributes:
        data: the number.
        grad: ∂L/∂data, once `backward` of L was called.
        made_of: each value that it was made of, with the derivative by it.
    """

    __slots__ = ("data", "grad", "made_of")

    def __init__(self, data: float, made_of: "tuple[tuple[Value, float], ...]" = ()) -> None:
        self.data, self.grad, self.made_of = data, 0.0, made_of

    def __repr__(self) -> str:
        return f"Value({self.data:.6g}, grad={self.grad:.6g})"

    def __add__(self, other: "Value | float") -> "Value":
        if isinstance(other, Value):
            return Value(self.data + other.data, ((self, 1.0), (other, 1.0)))
        return Value(self.data + other, ((self, 1.0),))

    def __mul__(self, other: "Value | float") -> "Value":
        if isinstance(other, Value):
            return Value(self.data * other.data, ((self, other.data), (other, self.data)))
        return Value(self.data * other, ((self, other),))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> "Value":
        return self * -1.0

    def __sub__(self, other: "Value | float") -> "Value":
        return self + -other

    def __rsub__(self, other: float) -> "Value":
        return -self + other

    def __pow__(self, power: float) -> "Value":
        return Value(self.data**power, ((self, power * self.data ** (power - 1)),))

    def __truediv__(self, other: "Value | float") -> "Value":
        return self * other**-1.0

    def exp(self) -> "Value":
        """Returns eˣ, whose slope is eˣ."""
        y = math.exp(self.data)
        return Value(y, ((self, y),))

    def log(self) -> "Value":
        """Returns ln x, whose slope is 1/x.

        Raises:
            ValueError: x is not positive.
        """
        return Value(math.log(self.data), ((self, 1 / self.data),))

    def tanh(self) -> "Value":
        """Returns tanh x, whose slope is 1 − tanh² x."""
        y = math.tanh(self.data)
        return Value(y, ((self, 1 - y * y),))

    def sigmoid(self) -> "Value":
        """Returns σ(x) = 1/(1 + e⁻ˣ), whose slope is σ(x)(1 − σ(x))."""
        y = _sigmoid(self.data)
        return Value(y, ((self, y * (1 - y)),))

    def softplus(self) -> "Value":
        """Returns ln(1 + eˣ), whose slope is σ(x)."""
        x = self.data
        return Value(max(x, 0.0) + math.log1p(math.exp(-abs(x))), ((self, _sigmoid(x)),))

    def relu(self) -> "Value":
        """Returns max(x, 0), whose slope is 1 above 0."""
        return self if self.data > 0 else Value(0.0, ((self, 0.0),))

    def leaky_relu(self) -> "Value":
        """Returns 0.01 x below 0 and x elsewhere."""
        return self if self.data >= 0 else self * 0.01

    def backward(self) -> None:
        """Sets `grad` of this value to 1, and that of all it was made of by the chain rule."""
        order = self._made_before()
        for value in order:
            value.grad = 0.0
        self.grad = 1.0
        for value in reversed(order):
            for part, slope in value.made_of:
                part.grad += value.grad * slope

    def _made_before(self) -> "list[Value]":
        """Lists all that this value was made of and itself, each after what it was made of."""
        order: list[Value] = []
        seen: set[int] = set()
        waiting: list[tuple[Value, bool]] = [(self, False)]
        while waiting:  # A loop, since a sum of a thousand terms is a thousand values deep.
            value, parts_are_in = waiting.pop()
            if parts_are_in:
                order.append(value)
            elif id(value) not in seen:
                seen.add(id(value))
                waiting.append((value, True))
                waiting += [(part, False) for part, _ in value.made_of]
        return order


def _sigmoid(x: float) -> float:
    e = math.exp(-abs(x))  # Of a number below 0: it does not overflow.
    return 1 / (1 + e) if x >= 0 else e / (1 + e)
