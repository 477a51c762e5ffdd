"""Hand-derived rules: functions that `jax.grad` differentiates by a backward pass written out.

`dense(x, w, b)` is one of them, a `Rule`; `dense.fwd` and `dense.bwd` are its halves.
"""

from manual.rules.activations import elu as elu
from manual.rules.activations import gelu as gelu
from manual.rules.activations import gelu_erf as gelu_erf
from manual.rules.activations import identity as identity
from manual.rules.activations import leaky_relu as leaky_relu
from manual.rules.activations import relu as relu
from manual.rules.activations import sigmoid as sigmoid
from manual.rules.activations import silu as silu
from manual.rules.activations import softplus as softplus
from manual.rules.activations import tanh as tanh
from manual.rules.attention import attention as attention
from manual.rules.attention import rotary as rotary
from manual.rules.batch_norm import batch_norm as batch_norm
from manual.rules.batch_norm import batch_norm_inference as batch_norm_inference
from manual.rules.batch_norm import update_running as update_running
from manual.rules.conv2d import conv2d as conv2d
from manual.rules.criteria import hinge as hinge
from manual.rules.criteria import huber as huber
from manual.rules.criteria import kl_divergence as kl_divergence
from manual.rules.criteria import log_softmax as log_softmax
from manual.rules.criteria import logsumexp as logsumexp
from manual.rules.criteria import mean_absolute_error as mean_absolute_error
from manual.rules.criteria import sigmoid_focal as sigmoid_focal
from manual.rules.criteria import softmax as softmax
from manual.rules.dense import dense as dense
from manual.rules.dropout import dropout as dropout
from manual.rules.elementwise import hard_swish as hard_swish
from manual.rules.elementwise import log_sigmoid as log_sigmoid
from manual.rules.elementwise import mish as mish
from manual.rules.elementwise import selu as selu
from manual.rules.elementwise import softsign as softsign
from manual.rules.elementwise import swiglu as swiglu
from manual.rules.embedding import embedding as embedding
from manual.rules.glu import glu as glu
from manual.rules.group_norm import group_norm as group_norm
from manual.rules.images import conv1d as conv1d
from manual.rules.images import conv_transpose as conv_transpose
from manual.rules.images import resize as resize
from manual.rules.layer_norm import layer_norm as layer_norm
from manual.rules.layer_norm import rms_norm as rms_norm
from manual.rules.linear_cross_entropy import linear_cross_entropy as linear_cross_entropy
from manual.rules.losses import mean_squared_error as mean_squared_error
from manual.rules.losses import sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy
from manual.rules.losses import softmax_cross_entropy as softmax_cross_entropy
from manual.rules.losses import (
    softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels,
)
from manual.rules.norms import cosine_similarity as cosine_similarity
from manual.rules.norms import instance_norm as instance_norm
from manual.rules.norms import weight_norm as weight_norm
from manual.rules.pooling import avg_pool as avg_pool
from manual.rules.pooling import global_average_pool as global_average_pool
from manual.rules.pooling import max_pool as max_pool
from manual.rules.prelu import prelu as prelu
from manual.rules.recurrent import gru as gru
from manual.rules.recurrent import lstm as lstm
from manual.rules.recurrent import rnn as rnn
from manual.rules.rule import Rule as Rule
from manual.rules.shapes import flatten as flatten
from manual.rules.shapes import residual as residual
