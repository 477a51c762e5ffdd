"""Further rules of images, and of sequences that are treated as such."""

from manual.rules.images.conv1d import conv1d as conv1d
from manual.rules.images.conv_transpose import conv_transpose as conv_transpose
from manual.rules.images.resize import resize as resize
