"""Softmax and its kin, and further losses."""

from manual.rules.criteria.classification import hinge as hinge
from manual.rules.criteria.classification import kl_divergence as kl_divergence
from manual.rules.criteria.classification import sigmoid_focal as sigmoid_focal
from manual.rules.criteria.regression import huber as huber
from manual.rules.criteria.regression import mean_absolute_error as mean_absolute_error
from manual.rules.criteria.softmax import log_softmax as log_softmax
from manual.rules.criteria.softmax import logsumexp as logsumexp
from manual.rules.criteria.softmax import softmax as softmax
