import numpy as np

from compare import explain
from compare.datasets import mnist5k


def test_digits_are_the_first_image_of_each_in_blocks_of_sixteen_pixels():
    toy, data = explain.TOYS["mnist"](None, "mnist5k"), mnist5k.load()
    assert toy.dataset == "mnist5k"
    assert toy.targets.tolist() == [0, 1, 2, 3, 4]
    image = data.x_train[list(data.y_train).index(3)].reshape(28, 28)
    assert toy.x[3][7 * 2 + 4] == np.float64(image[8:12, 16:20]).mean()


def test_every_toy_has_a_network_to_understand_and_one_of_ten_hidden_layers():
    for make in explain.TOYS.values():
        toy = make(None, "mnist5k")
        shallow, deep = toy.networks
        assert (len(shallow.sizes), len(deep.sizes)) == (3, 12)
        assert deep.activation == "sigmoid"
        for network in toy.networks:
            assert (network.sizes[0], network.sizes[-1]) == (toy.x.shape[1], len(toy.outputs))
        assert len(toy.examples) == len(toy.x) == len(toy.targets)
