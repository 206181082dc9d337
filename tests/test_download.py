"""Downloads from a hub whose network fails in every way: whole and right under the final name, or not there."""

import hashlib
import multiprocessing
import os
import random
import shutil
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from children import download_on_a_small_disk

from osdface_core.errors import ChecksumError, DownloadError, TruncatedFileError
from osdface_core.weights import transfer
from osdface_core.weights.catalog import Entry, File
from osdface_core.weights.download import download
from osdface_core.weights.verify import verify

DATA = random.Random(7).randbytes(2_000_000)
ON_HUB, ON_PAGE = "/me/mirror/resolve/main/net.pth", "/v1/net.pth"
STORE = "/store" + ON_HUB
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def entry(hub) -> Entry:
    """One file, on the hub and then on a page of another server."""
    hub.files |= {ON_HUB: DATA, ON_PAGE: DATA}
    digest = hashlib.sha256(DATA).hexdigest()
    return Entry(
        name="net",
        purpose="a test",
        folder="nets",
        files=(File("net.pth", len(DATA), digest),),
        sources=("hf:me/mirror", f"{hub.url}/v1/"),
        page="https://example.org",
        licence="MIT",
        redistributable=True,
    )


def unknown(entry: Entry) -> Entry:
    """The entry, its file's size and sha256 not in the catalogue."""
    return replace(entry, files=(File("net.pth"),))


def interrupt_at(size: float):
    def on_progress(_path, done, _all):
        if done > size:
            raise InterruptedError

    return on_progress


def part_name(entry: Entry, folder: Path) -> Path:
    """Where the entry's file grows."""
    identity = hashlib.sha256(entry.files[0].sha256.encode()).hexdigest()[:12]
    return folder / f"net.pth.{identity}.part"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_comes_from_the_hub_and_is_recorded_where_the_catalogue_does_not_know_it(hub, entry, tmp_path):
    seen = []
    place = download(unknown(entry), tmp_path, lambda *told: seen.append(told))
    assert place.read_bytes() == DATA
    assert seen[-1] == ("net.pth", len(DATA), len(DATA))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert (tmp_path / "net.pth.sha256").read_text(encoding="utf-8") == f"{hashlib.sha256(DATA).hexdigest()}  net.pth\n"
    assert hub.sent[ON_PAGE] == 0


def test_the_token_goes_to_the_hub_and_not_to_its_store_nor_to_others(hub, entry, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.faults.wrong_bytes = {STORE}
    download(entry, tmp_path)
    told = {(host.split(":")[0], token) for host, token in hub.tokens}
    assert told == {("127.0.0.1", "Bearer hf_secret"), ("localhost", None), ("127.0.0.1", None)}
    page_only = [(path, token) for (_, path, _), (_, token) in zip(hub.requests, hub.tokens, strict=True)]
    assert all(token is None for path, token in page_only if path == ON_PAGE)


def test_a_connection_cut_at_every_tenth_is_resumed_where_it_broke_off(hub, entry, tmp_path):
    """Every request starts behind the last byte that arrived: none is fetched twice."""
    hub.faults.cuts = [tenth / 10 for tenth in range(1, 10)]
    arrived = [0]
    assert download(entry, tmp_path, lambda _path, done, _all: arrived.append(done)).read_bytes() == DATA
    assert all(before < after for before, after in pairwise(arrived))
    assert len(hub.starts(STORE)) == 10
    assert set(hub.starts(STORE)) <= set(arrived)
    assert hub.sent[ON_PAGE] == 0


def test_an_attempt_that_was_given_up_is_resumed_by_the_next(hub, entry, tmp_path):
    with pytest.raises(InterruptedError):
        download(entry, tmp_path, interrupt_at(len(DATA) / 2))
    (part,) = tmp_path.glob("*.part")
    kept = part.stat().st_size
    assert download(entry, tmp_path).read_bytes() == DATA
    assert hub.starts(STORE) == [0, kept]
    assert names(tmp_path) == {"net.pth"}


def test_wrong_bytes_are_never_kept_and_the_next_source_is_taken(hub, entry, tmp_path, caplog):
    hub.faults.wrong_bytes = {STORE}
    assert download(entry, tmp_path).read_bytes() == DATA
    assert "hf:me/mirror" in caplog.text
    assert "its sha256 is" in caplog.text


def test_where_all_sources_are_wrong_nothing_is_left(hub, entry, tmp_path):
    hub.faults.wrong_bytes = {STORE, ON_PAGE}
    with pytest.raises(DownloadError, match=r"no source has it .*its sha256 is.*by hand: net.pth from https://example"):
        download(entry, tmp_path)
    assert not list(tmp_path.glob("net.pth*"))


def test_wrong_bytes_of_an_earlier_attempt_cost_one_more_fetch_not_the_source(hub, entry, tmp_path):
    part_name(entry, tmp_path).write_bytes(bytes(1000))
    assert download(entry, tmp_path).read_bytes() == DATA
    assert hub.starts(STORE) == [1000, 0]
    assert hub.sent[ON_PAGE] == 0


@pytest.mark.parametrize("promised", [len(DATA) - 1000, len(DATA) + 1000])
@pytest.mark.parametrize("known", [True, False])
def test_a_wrong_length_is_refused(hub, entry, tmp_path, promised, known):
    """From the store, which the hub contradicts, and from a page, which only the catalogue can."""
    hub.faults.promised = {STORE: promised, ON_PAGE: promised}
    with pytest.raises(DownloadError):
        download(entry if known else replace(unknown(entry), sources=("hf:me/mirror",)), tmp_path)
    assert "net.pth" not in names(tmp_path)


@pytest.mark.parametrize("name", ["net.pth", "net.json"])
def test_a_server_that_sends_without_end_is_cut_off(hub, entry, tmp_path, monkeypatch, name):
    """At what no file of the catalogue is larger than; and what came is not kept."""
    monkeypatch.setattr(transfer, "MOST_OF_JSON" if name.endswith("json") else "MOST", 400_000)
    hub.files = {path.replace("net.pth", name): DATA for path in hub.files}
    hub.faults.endless = True
    with pytest.raises(DownloadError, match=f"{name}: it does not end within 400000 bytes"):
        download(replace(entry, files=(File(name),)), tmp_path)
    assert names(tmp_path) == set()
    assert max(hub.sent.values()) < 10_000_000  # what was on its way


def test_a_server_that_sends_without_end_leaves_the_disk_some_room(hub, entry, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage._replace(free=(64 << 20) + 300_000))
    hub.faults.endless = True
    with pytest.raises(DownloadError, match="it does not end within 300000 bytes"):
        download(unknown(entry), tmp_path)
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("length", "arrives"), [("9" * 15, False), ("-1", True), ("2e6", True), ("9" * 5000, True), ("many", True)]
)
def test_lengths_that_cannot_be(hub, entry, tmp_path, length, arrives):
    """What is no number says nothing; the store says how long the file is."""
    hub.faults.length = length
    if arrives:
        assert download(unknown(entry), tmp_path).read_bytes() == DATA
    else:
        with pytest.raises(DownloadError, match=f"it has {length} bytes there, and must not have more than"):
            download(replace(unknown(entry), sources=("hf:me/mirror",)), tmp_path)
        assert hub.sent == {}


def test_a_server_that_asks_for_weeks_of_patience_is_not_waited_for(hub, entry, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "WAIT", 0.05)
    hub.faults.statuses, hub.faults.retry_after = {ON_HUB: [429, 503]}, "2000000"
    assert download(entry, tmp_path).read_bytes() == DATA


def test_a_source_that_has_no_such_file_is_passed_over(hub, entry, tmp_path, caplog):
    del hub.files[ON_HUB]
    assert download(entry, tmp_path).read_bytes() == DATA
    assert "404" in caplog.text
    assert hub.starts(ON_PAGE) == [0]


def test_a_busy_server_is_asked_again(hub, entry, tmp_path):
    hub.faults.statuses = {ON_HUB: [429, 429], STORE: [503, 429]}
    assert download(entry, tmp_path).read_bytes() == DATA
    assert hub.sent[ON_PAGE] == 0


def test_a_server_that_stays_busy_is_left_for_the_next(hub, entry, tmp_path, monkeypatch):
    hub.faults.statuses = {ON_HUB: [429] * 20}
    assert download(entry, tmp_path).read_bytes() == DATA
    assert hub.sent[STORE] == 0


def test_a_trickle_arrives_and_a_connection_gone_silent_is_replaced(hub, entry, tmp_path, monkeypatch):
    hub.faults.pause, hub.faults.stalls = 0.002, 2
    monkeypatch.setattr(transfer, "TIMEOUT", (5.0, 0.5))
    assert download(entry, tmp_path).read_bytes() == DATA
    assert len(hub.starts(STORE)) == 3
    assert hub.sent[ON_PAGE] == 0


def test_a_server_without_ranges_is_read_from_the_start(hub, entry, tmp_path):
    hub.faults.cuts, hub.faults.ignores_range = [0.5], True
    assert download(entry, tmp_path).read_bytes() == DATA


def test_parts_of_different_contents_are_never_joined(hub, entry, tmp_path):
    """The page's file changes while its download rests; nobody knows its sha256."""
    changing = replace(unknown(entry), sources=(f"{hub.url}/v1/",))
    with pytest.raises(InterruptedError):
        download(changing, tmp_path, interrupt_at(100_000))
    hub.files[ON_PAGE] = newer = random.Random(8).randbytes(len(DATA))
    assert download(changing, tmp_path).read_bytes() == newer


def test_what_was_trusted_at_first_must_stay_the_same(hub, entry, tmp_path):
    download(unknown(entry), tmp_path).unlink()
    hub.files |= dict.fromkeys((ON_HUB, ON_PAGE), bytes(500))
    with pytest.raises(DownloadError, match=f"expected {hashlib.sha256(DATA).hexdigest()}"):
        download(unknown(entry), tmp_path)


def test_a_web_page_is_not_taken_for_the_file(hub, entry, tmp_path, monkeypatch):
    monkeypatch.setattr("hub.Handler.content", sign_in)
    with pytest.raises(DownloadError, match="a web page came instead"):
        download(replace(unknown(entry), sources=(f"{hub.url}/v1/",)), tmp_path)


def sign_in(handler, *_about):
    handler.head(200, {"Content-Type": "text/html; charset=utf-8", "Content-Length": "0"})


def test_a_file_that_is_there_is_left_alone(hub, entry, tmp_path):
    (tmp_path / "net.pth").write_bytes(DATA)
    assert download(entry, tmp_path) == tmp_path / "net.pth"
    (tmp_path / "net.pth").write_bytes(DATA[:-1])
    with pytest.raises(TruncatedFileError, match=r"1999999 bytes, expected 2000000.*Remove it"):
        download(entry, tmp_path)
    assert hub.requests == []


def test_offline_nothing_is_tried(hub, entry, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match=r"downloads are off \(HF_HUB_OFFLINE\).*by hand"):
        download(entry, tmp_path)
    assert hub.requests == []


def test_a_proxy_of_the_environment_is_used(hub, entry, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", hub.url)
    monkeypatch.delenv("no_proxy", raising=False)
    assert download(replace(entry, sources=("http://nowhere.invalid/v1/",)), tmp_path).read_bytes() == DATA
    assert {host for host, _ in hub.tokens} == {"nowhere.invalid"}


def test_a_disk_too_small_is_noticed_before_the_first_byte(hub, entry, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage._replace(free=len(DATA)))
    with pytest.raises(DownloadError, match=r"GB have to fit, but the disk has only 0.00 GB free. Make room"):
        download(entry, tmp_path)
    assert hub.sent[STORE] == 0


def test_a_disk_that_fills_up_keeps_what_it_holds(hub, entry, tmp_path):
    """In a process that may write no file beyond a limit: the kernel refuses the write, as on a full disk."""
    pytest.importorskip("resource")
    child = SPAWN.Process(target=download_on_a_small_disk, args=(entry, tmp_path))
    child.start()
    child.join(60)
    error = (tmp_path / "error").read_text(encoding="utf-8")
    assert "it cannot be written (File too large). What has arrived is kept" in error
    (part,) = tmp_path.glob("*.part")
    assert part.stat().st_size == 1_000_000
    assert download(entry, tmp_path).read_bytes() == DATA
    assert hub.starts(STORE) == [0, 1_000_000]


def test_two_processes_fetch_a_file_once(hub, entry, tmp_path):
    hub.faults.pause = 0.02
    children = [SPAWN.Process(target=download, args=(entry, tmp_path)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0, 0]
    assert (tmp_path / "net.pth").read_bytes() == DATA
    assert hub.sent[STORE] == len(DATA)
    assert names(tmp_path) == {"net.pth"}


def test_a_process_killed_on_its_way_leaves_a_part_that_the_next_goes_on_from(hub, entry, tmp_path):
    """At one moment of it; scripts/soak/kills.py and benchmarks/download_faults.py choose many at random."""
    hub.faults.pause = 0.02
    child = SPAWN.Process(target=download, args=(entry, tmp_path))
    child.start()
    while hub.sent[STORE] < len(DATA) / 3:
        assert child.is_alive()
        time.sleep(0.01)
    child.kill()
    child.join()
    hub.faults.pause = 0
    assert "net.pth" not in names(tmp_path)
    (part,) = tmp_path.glob("*.part")
    kept = part.stat().st_size
    assert 0 < kept < len(DATA)
    assert download(entry, tmp_path).read_bytes() == DATA
    assert hub.starts(STORE) == [0, kept], "bytes that were there were fetched again"
    assert names(tmp_path) == {"net.pth"}


def test_a_strangers_links_are_not_written_to(hub, entry, tmp_path):
    """Under the names that the part and the lock have."""
    for number, link in enumerate((os.symlink, os.link)):
        precious = tmp_path / "precious.txt"
        precious.write_bytes(b"keep")
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            link(precious, part_name(entry, folder))
        except OSError:
            pytest.skip("no links on this system")
        assert download(entry, folder).read_bytes() == DATA
        assert precious.read_bytes() == b"keep"


# -- by Windows' rules ------------------------------------------------------------------------------------------------


def test_a_download_ends_although_files_in_use_cannot_be_removed(windows_rules, hub, entry, tmp_path):
    assert download(unknown(entry), tmp_path).read_bytes() == DATA
    assert names(tmp_path) == {"net.pth", "net.pth.sha256"}


def test_a_scanner_that_looks_at_what_has_arrived_is_waited_for(windows_rules, hub, entry, tmp_path, monkeypatch):
    monkeypatch.setattr("osdface_core.files.atomic_write.PAUSE", 0.01)
    windows_rules.busy[str(part_name(entry, tmp_path))] = 2
    assert download(entry, tmp_path).read_bytes() == DATA


def test_one_that_does_not_let_go_costs_no_second_transfer(windows_rules, hub, entry, tmp_path, monkeypatch):
    monkeypatch.setattr("osdface_core.files.atomic_write.PAUSE", 0)
    windows_rules.busy[str(part_name(entry, tmp_path))] = 10
    with pytest.raises(DownloadError, match=r"it has arrived.*Close the program that uses net.pth.*part"):
        download(entry, tmp_path)
    assert download(entry, tmp_path).read_bytes() == DATA
    assert hub.sent[STORE] == len(DATA)


def test_wrong_bytes_that_cannot_be_removed_are_still_the_reason(windows_rules, hub, entry, tmp_path):
    hub.faults.wrong_bytes = {STORE, ON_PAGE}
    windows_rules.busy[str(part_name(entry, tmp_path))] = 100
    with pytest.raises(DownloadError, match="its sha256 is"):
        download(entry, tmp_path)
    assert "net.pth" not in names(tmp_path)


def test_a_file_in_a_repository_is_known_by_its_git_blob(hub, entry, tmp_path, monkeypatch):
    """Whatever the server's tag looks like: GitHub's has 64 hexadecimal digits and is no sha256."""
    monkeypatch.setattr("hub.etag", lambda _data: f'"{"0" * 64}"')
    blob = hashlib.sha1(b"blob %d\0" % len(DATA) + DATA).hexdigest()
    page = replace(entry, files=(File("net.pth", git_blob=blob),), sources=(f"{hub.url}/v1/",))
    place = download(page, tmp_path / "right")
    assert place.read_bytes() == DATA
    assert verify(page, place) == {place: hashlib.sha256(DATA).hexdigest()}
    other = replace(page, files=(File("net.pth", git_blob="0" * 40),))
    with pytest.raises(ChecksumError, match=f"git knows it as {blob}, expected 0000"):
        verify(other, place)
    with pytest.raises(DownloadError, match=f"git knows it as {blob}, expected 0000"):
        download(other, tmp_path / "wrong")
    assert not [path for path in (tmp_path / "wrong").iterdir() if path.suffix in (".pth", ".part")]
