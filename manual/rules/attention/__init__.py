"""Attention, and the positions that it is given."""

from manual.rules.attention.attention import attention as attention
from manual.rules.attention.rotary import rotary as rotary
