"""Further functions of each entry on its own."""

from manual.rules.elementwise.curves import hard_swish as hard_swish
from manual.rules.elementwise.curves import log_sigmoid as log_sigmoid
from manual.rules.elementwise.curves import mish as mish
from manual.rules.elementwise.curves import selu as selu
from manual.rules.elementwise.curves import softsign as softsign
from manual.rules.elementwise.swiglu import swiglu as swiglu
