import numpy as np
import pytest
from PIL import Image

from compare.datasets import DataError, digit_image


def bar(*, light_on_dark, mode="L"):
    """A tall bar in the upper left corner of a picture of 90×120."""
    pixels = np.zeros((120, 90), np.uint8)
    pixels[10:90, 8:28] = 255
    image = Image.fromarray(pixels if light_on_dark else 255 - pixels)
    return image.convert(mode)


@pytest.mark.parametrize("light_on_dark", [True, False])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_a_digit_is_light_twenty_tall_and_centred(light_on_dark, mode, tmp_path):
    bar(light_on_dark=light_on_dark, mode=mode).save(tmp_path / "one.png")
    found = digit_image.read(tmp_path / "one.png")
    assert (found.shape, found.dtype) == ((784,), np.float32)
    picture = found.reshape(28, 28)
    rows, columns = np.nonzero(picture > 0.5)
    assert rows.max() - rows.min() + 1 == 20
    assert columns.max() - columns.min() + 1 == 5
    for axis in (0, 1):
        mass = picture.sum(axis=1 - axis)
        assert abs(mass @ np.arange(28) / mass.sum() - 13.5) <= 0.5
    assert picture[0, 0] == 0


def test_transparent_paper_is_white(tmp_path):
    pixels = np.zeros((60, 60, 4), np.uint8)
    pixels[10:50, 28:32, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "one.png")
    assert 0.05 < digit_image.read(tmp_path / "one.png").mean() < 0.2


def test_a_picture_like_mnists_is_taken_as_it_is(tmp_path):
    pixels = np.zeros((28, 28), np.uint8)
    pixels[2:9, 3:5] = 200
    Image.fromarray(pixels).save(tmp_path / "small.png")
    assert (digit_image.read(tmp_path / "small.png").reshape(28, 28) * 255 == pixels).all()


def test_a_digit_at_the_border_stays_inside(tmp_path):
    pixels = np.zeros((100, 100), np.uint8)
    pixels[:, 90:] = 255
    pixels[90:, :] = 40
    Image.fromarray(pixels).save(tmp_path / "corner.png")
    assert digit_image.read(tmp_path / "corner.png").sum() > 20


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.write_text("seven"), "no picture"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: Image.new("L", (30, 30), 255).save(path), "is of one colour"),
    ],
)
def test_what_is_no_digit_is_refused(make, message, tmp_path):
    path = tmp_path / "x.png"
    make(path)
    with pytest.raises(DataError, match=message) as error:
        digit_image.read(path)
    assert "\n" not in str(error.value)


def test_sixteen_bits_are_read_right(tmp_path):
    eight = np.asarray(bar(light_on_dark=True))
    Image.fromarray(eight.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(eight).save(tmp_path / "8.png")
    found = [digit_image.read(tmp_path / name) for name in ("16.png", "8.png")]
    assert (found[0] == found[1]).all()


def test_a_large_picture_is_refused_before_it_is_decoded_and_a_cameras_is_not(tmp_path):
    digit = Image.new("1", (4000, 4000), 1)
    digit.paste(0, (1500, 500, 2000, 3500))
    digit.save(tmp_path / "large.png")
    with pytest.raises(DataError, match="has 4000×4000 pixels, more than 12,000,000"):
        digit_image.read(tmp_path / "large.png")
    digit.convert("L").save(tmp_path / "large.jpg")
    assert digit_image.read(tmp_path / "large.jpg").sum() > 20


def test_a_broken_chunk_and_an_animation_are_one_line(tmp_path):
    one = bar(light_on_dark=True)
    one.save(tmp_path / "moving.png", save_all=True, append_images=[one.rotate(90)])
    one.save(tmp_path / "x.png")
    content = bytearray((tmp_path / "x.png").read_bytes())
    content[40] ^= 255
    (tmp_path / "broken.png").write_bytes(content)
    for name, message in (("moving.png", "is animated"), ("broken.png", "no picture")):
        with pytest.raises(DataError, match=message) as error:
            digit_image.read(tmp_path / name)
        assert "\n" not in str(error.value)
