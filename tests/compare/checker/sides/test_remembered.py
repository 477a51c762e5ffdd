from compare.checker.sides.remembered import Remembered


def test_what_was_put_is_found_by_its_key():
    kept = Remembered[str](size=2)
    assert kept.get(("a", 1)) is None
    kept.put(("a", 1), "first")
    assert kept.get(("a", 1)) == "first"
    assert kept.get(("a", 2)) is None


def test_the_one_not_asked_for_longest_is_let_go():
    kept = Remembered[int](size=2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert kept.get("b") is None
    assert (kept.get("a"), kept.get("c")) == (1, 3)
