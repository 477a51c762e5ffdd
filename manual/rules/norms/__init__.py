"""Further normalisations."""

from manual.rules.norms.cosine import cosine_similarity as cosine_similarity
from manual.rules.norms.instance_norm import instance_norm as instance_norm
from manual.rules.norms.weight_norm import weight_norm as weight_norm
