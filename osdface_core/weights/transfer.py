"""Bytes of one file from one server: what it says of the file, and the file, connecting again where that breaks off."""

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from ..errors import ChecksumError, DownloadError
from ..files.file_lock import NO_LINKS
from .catalog import HUB, File

CHUNK = 1 << 14
"""Bytes read at once. A connection that breaks loses less than this."""

TIMEOUT = (10.0, 30.0)
"""Seconds to wait for a connection, and for the next byte."""

PATIENCE = 5
"""How often in a row a connection may break without a new byte before the source is given up."""

MOST = 6_000_000_000
"""More than any file of the catalogue has: what a server sends of one whose size nobody knows."""

MOST_OF_JSON = 1_000_000

WAIT = 60.0
"""Seconds, at most, that a busy server may ask to be left alone before the next try."""

ANOTHER_FILE = "This source has another file under its name."

OnBytes = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Remote:
    """What a server says of a file. most: what it may send."""

    url: str
    headers: dict[str, str] = field(repr=False)
    size: int | None
    most: int
    sha256: str | None
    etag: str


class Retries(Retry):
    """As a busy server asks for, within reason."""

    def get_retry_after(self, response: Any) -> float | None:
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, WAIT)


def session() -> requests.Session:
    """Proxies are taken from the environment. Servers that are busy are asked again, when they say so."""
    retry = Retries(4, connect=1, read=0, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))
    http = requests.Session()
    for scheme in ("http://", "https://"):
        http.mount(scheme, HTTPAdapter(max_retries=retry))
    http.headers["Accept-Encoding"] = "identity"
    return http


def look_up(http: requests.Session, source: str, file: File) -> Remote:
    """Raises ChecksumError where the server's file cannot be the one that is wanted."""
    url, headers = address(source, file.path)
    response = http.head(url, headers=headers, timeout=TIMEOUT, allow_redirects=True)
    response.raise_for_status()
    # the hub answers with a redirect to its store, and tells about the file in that answer
    told = next((hop.headers for hop in response.history if "X-Linked-Etag" in hop.headers), response.headers)
    etag = (told.get("X-Linked-Etag") or told.get("ETag") or "").removeprefix("W/").strip('"')
    length = told.get("X-Linked-Size") or response.headers.get("Content-Length") or ""
    size = int(length) if re.fullmatch("[0-9]{1,18}", length) else file.size
    most = MOST_OF_JSON if file.path.endswith(".json") else MOST
    if file.size is not None and size != file.size:
        raise ChecksumError(url, f"it has {size} bytes there, expected {file.size}.", ANOTHER_FILE)
    if size is not None and not 0 <= size <= most:
        raise ChecksumError(url, f"it has {size} bytes there, and must not have more than {most}.", ANOTHER_FILE)
    if file.sha256 is None and response.headers.get("Content-Type", "").startswith("text/html"):
        raise ChecksumError(url, "a web page came instead of the file.", "Does the network want you to sign in?")
    most = most if size is None else size
    tells = source.startswith(HUB) and re.fullmatch("[0-9a-f]{64}", etag)  # another server's tag may look like it
    return Remote(url, headers, size, most, etag if tells else None, etag)


def address(source: str, path: str) -> tuple[str, dict[str, str]]:
    """Where `path` is at a source, and the headers to ask for it with."""
    if not source.startswith(HUB):
        return source + path, {}
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    owner, name, *folder = source.removeprefix(HUB).split("/")
    return hf_hub_url(f"{owner}/{name}", "/".join([*folder, path])), build_hf_headers(library_name="osdface")


def transfer(http: requests.Session, remote: Remote, part: Path, on_progress: OnBytes) -> None:
    """Add to `part` until it is as long as the remote file, connecting again as long as that brings new bytes."""
    failures = 0
    while True:
        before = size_of(part)
        try:
            if stream(http, remote, part, on_progress):
                return
            failure: Exception = requests.ConnectionError("the connection broke off")
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            failure = error
        failures = 0 if size_of(part) > before else failures + 1
        if failures == PATIENCE:
            raise failure
        time.sleep(min(0.1 * 2**failures, 5))


def stream(http: requests.Session, remote: Remote, part: Path, on_progress: OnBytes) -> bool:
    """One request for what `part` lacks. True if it is whole afterwards."""
    done = size_of(part)
    if done == remote.size:
        return True
    headers = remote.headers | ({"Range": f"bytes={done}-"} if done else {})
    with (
        http.get(remote.url, headers=headers, timeout=TIMEOUT, stream=True) as response,
        open(part, "ab", buffering=0, opener=open_no_link) as file,
    ):
        response.raise_for_status()
        if not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            file.truncate(done := 0)
        for chunk in response.iter_content(CHUNK):
            done += len(chunk)
            if done > remote.most:
                raise ChecksumError(remote.url, f"it does not end within {remote.most} bytes.", ANOTHER_FILE)
            append(file, chunk, part)
            on_progress(done, remote.size)
        os.fsync(file.fileno())
    return remote.size in (None, done)


def open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | NO_LINKS, 0o666)


def append(file: RawIOBase, chunk: bytes, part: Path) -> None:
    try:
        while chunk:
            chunk = chunk[file.write(chunk) :]
    except OSError as error:
        advice = "What has arrived is kept: make room, then run this again."
        raise DownloadError(part, f"it cannot be written ({error.strerror}).", advice) from error


def size_of(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
