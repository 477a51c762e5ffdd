import numpy as np

from compare.articles.mnist_mlp import _slower, confused_pairs


def test_a_pair_counts_both_ways():
    confusion = np.zeros((10, 10), int)
    confusion[4, 9], confusion[9, 4], confusion[3, 5], confusion[7, 7] = 3, 2, 4, 900
    assert confused_pairs(confusion.tolist())[:2] == [((4, 9), 5), ((3, 5), 4)]


def test_slower_means_by_more_than_two_standard_errors():
    assert _slower("", "", 0.80, 0.90, 1000).holds
    assert not _slower("", "", 0.89, 0.90, 1000).holds
    assert not _slower("", "", 0.95, 0.90, 1000).holds
