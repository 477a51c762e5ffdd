import hashlib
import logging
import sys
import time

import pytest

from compare.datasets import mirrors

pooch = pytest.importorskip("pooch", reason="pooch (handgrad[data]) is not installed")

FIRST, SECOND = mirrors.MIRRORS


@pytest.fixture(autouse=True)
def pinned(monkeypatch, archives):
    """Pins the tiny archives in place of MNIST's."""
    pins = {name: hashlib.sha256(content).hexdigest() for name, content in archives.items()}
    monkeypatch.setattr(mirrors, "ARCHIVES", pins)


class Net:
    """Stands in for pooch's downloader; everything above it is the real pooch."""

    def __init__(self, monkeypatch, archives):
        self.archives = archives
        self.asked: list[str] = []
        self.timeouts: set[object] = set()
        self.wrong = lambda url: None
        monkeypatch.setattr(pooch, "HTTPDownloader", self._downloader)

    def _downloader(self, timeout, chunk_size):
        self.timeouts.add(timeout)
        return self._download

    def _download(self, url, target, _):
        self.asked.append(url)
        content = self.archives[url.rpartition("/")[2]]
        with open(target, "wb") as file:
            file.write(content[: len(content) // 2])
            self.wrong(url)
            file.write(content[len(content) // 2 :])


@pytest.fixture
def net(monkeypatch, archives):
    return Net(monkeypatch, archives)


def held(cache):
    return {path.name: path.read_bytes() for path in cache.iterdir()} if cache.exists() else {}


def breaks(error: Exception, when=lambda url: True):
    def check(url):
        if when(url):
            raise error

    return check


def test_mirrors_are_https_and_pins_are_sha256(monkeypatch):
    monkeypatch.undo()
    assert all(url.startswith("https://") and url.endswith("/") for url in mirrors.MIRRORS)
    assert len(mirrors.ARCHIVES) == 4
    assert all(len(bytes.fromhex(pin)) == 32 for pin in mirrors.ARCHIVES.values())


def test_fills_the_cache_from_the_first_mirror(cache, net, archives, capsys):
    mirrors.obtain(cache)
    assert held(cache) == archives
    assert net.asked == [FIRST + name for name in archives]
    assert all(seconds <= 15 for pair in net.timeouts for seconds in pair)
    assert capsys.readouterr().out == ""


def test_asks_nobody_when_the_cache_is_whole(cache, net):
    mirrors.obtain(cache)
    net.asked.clear()
    mirrors.obtain(cache)
    assert net.asked == []


def test_a_damaged_cached_file_is_fetched_again_alone(cache, net, archives):
    mirrors.obtain(cache)
    net.asked.clear()
    name = list(archives)[2]
    (cache / name).write_bytes(b"damaged")
    mirrors.obtain(cache)
    assert net.asked == [FIRST + name]
    assert held(cache) == archives


def test_a_damaged_cached_file_is_not_used_offline(cache, net, archives):
    mirrors.obtain(cache)
    (cache / next(iter(archives))).write_bytes(b"damaged")
    net.wrong = breaks(ConnectionError("down"))
    with pytest.raises(mirrors.MirrorError):
        mirrors.obtain(cache)


def test_second_mirror_when_the_first_is_down_and_the_first_is_asked_once(cache, net, archives):
    net.wrong = breaks(ConnectionError("down"), lambda url: url.startswith(FIRST))
    mirrors.obtain(cache)
    assert held(cache) == archives
    assert net.asked == [FIRST + next(iter(archives)), *(SECOND + name for name in archives)]


def test_second_mirror_finishes_what_the_first_began(cache, net, archives):
    last = FIRST + list(archives)[-1]
    net.wrong = breaks(ConnectionError("down"), lambda url: url == last)
    mirrors.obtain(cache)
    assert held(cache) == archives
    assert [url for url in net.asked if url.startswith(SECOND)] == [SECOND + list(archives)[-1]]


def test_wrong_hash_is_rejected_and_leaves_nothing(cache, net, archives):
    net.archives = dict.fromkeys(archives, b"not what was pinned")
    with pytest.raises(mirrors.MirrorError, match="SHA-256 is not the published one"):
        mirrors.obtain(cache)
    assert held(cache) == {}


def test_half_a_download_leaves_nothing(cache, net):
    net.wrong = breaks(ConnectionResetError(104, "Connection reset by peer"))
    with pytest.raises(mirrors.MirrorError, match="Connection reset by peer"):
        mirrors.obtain(cache)
    assert held(cache) == {}


def test_half_a_download_without_any_error_leaves_nothing(cache, net, archives):
    net.archives = {name: content[:-1] for name, content in archives.items()}
    with pytest.raises(mirrors.MirrorError, match="SHA-256"):
        mirrors.obtain(cache)
    assert held(cache) == {}


def test_an_interrupt_passes_through_and_leaves_nothing(cache, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(mirrors, "_within", interrupt)
    with pytest.raises(KeyboardInterrupt):
        mirrors.obtain(cache)
    assert held(cache) == {}


def test_a_mirror_that_never_answers_is_given_up(cache, net, monkeypatch):
    monkeypatch.setattr(mirrors, "_FIRST_S", 0.05)
    net.wrong = lambda url: time.sleep(0.3)
    start = time.perf_counter()
    with pytest.raises(mirrors.MirrorError, match=r"no answer within 0\.05 s.*no answer"):
        mirrors.obtain(cache)
    assert time.perf_counter() - start < 0.3
    assert held(cache) == {}
    time.sleep(0.4)  # the abandoned downloads come to their end
    assert held(cache) == {}


def test_http_status_is_named(cache, net):
    requests = pytest.importorskip("requests")
    response = requests.Response()
    response.status_code = 404
    net.wrong = breaks(requests.HTTPError("404 Not Found for url ...", response=response))
    with pytest.raises(mirrors.MirrorError) as caught:
        mirrors.obtain(cache)
    assert str(caught.value).count("HTTP status 404") == 2
    assert len(str(caught.value).splitlines()) == 1


def test_a_cache_that_cannot_be_written_is_a_mirror_error(cache, net):
    cache.write_text("a file where the folder should be")
    with pytest.raises(mirrors.MirrorError):
        mirrors.obtain(cache)


def test_without_pooch_says_what_to_install(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(mirrors.MirrorError, match=r"pooch \(pip install 'handgrad\[data\]'\)"):
        mirrors.obtain(cache)


def test_without_platformdirs_says_what_to_install(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    with pytest.raises(mirrors.MirrorError, match=r"platformdirs \(pip install"):
        mirrors.cache_folder()


def test_cache_is_the_user_s_own(monkeypatch, tmp_path):
    monkeypatch.undo()
    pytest.importorskip("platformdirs", reason="platformdirs (handgrad[data]) is not installed")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, appauthor: tmp_path / name)
    assert mirrors.cache_folder() == tmp_path / "handgrad" / "mnist"


def test_a_mirror_that_does_not_answer_is_not_told_line_by_line(net, tmp_path, monkeypatch):
    said = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: said.append(record.getMessage()))
    monkeypatch.setattr(pooch.get_logger(), "handlers", [handler])
    mirrors.obtain(tmp_path / "there")
    assert len(said) == 3, "what follows the first file"
    said.clear()
    net.wrong = breaks(OSError(101, "Network is unreachable"))
    with pytest.raises(mirrors.MirrorError, match=r"unreachable.*unreachable"):
        mirrors.obtain(tmp_path / "not")
    assert said == []
