"""A person's own file: what in it is to be checked, and at which point; nothing is checked here."""

from compare.own.conventions import LeftOut, Pair, found, left_out, named
from compare.own.module import OwnFileError, changed, load, place
from compare.own.points import Shape, drawn, given, shapes

__all__ = [
    "LeftOut",
    "OwnFileError",
    "Pair",
    "Shape",
    "changed",
    "drawn",
    "found",
    "given",
    "left_out",
    "load",
    "named",
    "place",
    "shapes",
]
