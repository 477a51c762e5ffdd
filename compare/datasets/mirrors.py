"""Fetches MNIST's four archives from a mirror into the user's cache, and checks their SHA-256."""

import contextlib
import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from compare.datasets.dataset import INSTALL_DATA
from compare.files import open_regular

__all__ = ["ARCHIVES", "MIRRORS", "MirrorError", "cache_folder", "fetch_archive", "obtain"]

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)

ARCHIVES = {
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    "train-labels-idx1-ubyte.gz": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "train-images-idx3-ubyte.gz": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
}
"""The SHA-256 of each archive; the smallest first: its 4.5 kB show whether a mirror answers."""

_CONNECT_S, _READ_S = 3.0, 15.0  # limits of a single wait for the network
_FIRST_S, _REST_S = 5.0, 600.0  # limits of a whole file: of the first one, and of each later one

Fetch = Callable[[str, Path, str, float], None]
"""`fetch(url, path, sha256, limit_s)` leaves the intact file at `path` within `limit_s` seconds, or
raises OSError or ValueError and leaves `path` as it was."""


class MirrorError(Exception):
    """The archives could not be fetched; the message is one clause that says why."""


def cache_folder() -> Path:
    """Returns the folder for downloaded archives, in the operating system's place for caches.

    Raises:
        MirrorError: The package platformdirs is not installed.
    """
    try:
        import platformdirs
    except ImportError as error:
        raise MirrorError(f"no cache without the package platformdirs ({INSTALL_DATA})") from error
    return platformdirs.user_cache_path("handgrad", appauthor=False) / "mnist"


def obtain(folder: Path, fetch: Fetch | None = None) -> None:
    """Fetches into `folder` those of the four archives that are not intact there already.

    Args:
        folder: The cache; it is made when something is fetched.
        fetch: Fetches one file; `fetch_archive` if not given.

    Raises:
        MirrorError: No mirror gave every file. Files that did arrive are intact and stay.
    """
    wanted = [name for name in ARCHIVES if not _is_intact(folder / name, ARCHIVES[name])]
    if not wanted:
        return
    failures = []
    for mirror in MIRRORS:
        try:
            _fetch_all(mirror, wanted, folder, fetch or fetch_archive)
            return
        except (OSError, ValueError) as error:
            failures.append(f"{urlsplit(mirror).hostname}: {_reason(error)}")
    raise MirrorError(f"no mirror gave the files ({', '.join(failures)})")


def fetch_archive(url: str, path: Path, sha256: str, limit_s: float) -> None:
    """Downloads one file through pooch: to a temporary name, checked, then renamed.

    A file that is at `path` already and has another SHA-256 is replaced. pooch reports what it
    downloads on standard error, since standard output is for results.

    Args:
        url: The file's address.
        path: Where the file is to be; its folder is made.
        sha256: The SHA-256 that the file must have, in hexadecimal.
        limit_s: Seconds after which the download is given up.

    Raises:
        MirrorError: The package pooch is not installed.
        OSError: No connection, no such file, too slow, or no right to write.
        ValueError: The downloaded file has another SHA-256.
    """
    try:
        import pooch
    except ImportError as error:
        raise MirrorError(f"no download without the package pooch ({INSTALL_DATA})") from error
    http = pooch.HTTPDownloader(timeout=(_CONNECT_S, _READ_S), chunk_size=1 << 16)

    def download(address: str, target: str, caller: object) -> None:
        _within(limit_s, lambda: http(address, target, caller))

    pooch.retrieve(
        url,
        f"sha256:{sha256}",
        fname=path.name,
        path=path.parent,
        downloader=download,  # pyright: ignore[reportArgumentType]  # pooch passes by position
    )


def _fetch_all(mirror: str, names: list[str], folder: Path, fetch: Fetch) -> None:
    first, *rest = names
    with _quietly():
        fetch(mirror + first, folder / first, ARCHIVES[first], _FIRST_S)
    for name in rest:
        fetch(mirror + name, folder / name, ARCHIVES[name], _REST_S)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Leaves out what pooch says meanwhile, as of a file that only shows if a mirror answers."""
    try:
        import pooch
    except ImportError:
        yield
        return
    logger = pooch.get_logger()
    logger.addFilter(_is_warning)
    try:
        yield
    finally:
        logger.removeFilter(_is_warning)


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def _within(seconds: float, work: Callable[[], object]) -> None:
    """Runs `work` and raises what it raises, or TimeoutError once `seconds` have passed.

    The timeout of a connection starts again for each address of a host, and the look-up of the
    host's name has no timeout, so that a single request can take a minute where there is no
    network.
    """
    errors: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # handed to the caller, below
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if errors:
        raise errors[0]


def _is_intact(path: Path, sha256: str) -> bool:
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _reason(error: Exception) -> str:
    """Describes an error in a few words: the libraries' messages run over several lines."""
    if not isinstance(error, OSError):
        return "the file's SHA-256 is not the published one"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"HTTP status {status}"
    return str(error) if type(error) is TimeoutError else error.strerror or type(error).__name__
