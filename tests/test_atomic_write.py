"""Atomic writes: whole or not at all, whoever else writes or watches, and whatever has been left behind."""

import contextlib
import multiprocessing
import os
import subprocess
import sys
import time
from collections import defaultdict

import pytest
from children import write_repeatedly
from conftest import ROOT

from osdface_core.files import atomic_write as module
from osdface_core.files.atomic_write import atomic_write

SPAWN = multiprocessing.get_context("spawn")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, text):
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def fail(path, error):
    with atomic_write(path) as partial:
        partial.write_text("half", encoding="utf-8")
        raise error


def leave_behind(path):
    """What a process that is killed while it writes `path` leaves."""
    script = (
        "import os, sys; from pathlib import Path; from osdface_core.files.atomic_write import atomic_write\n"
        "with atomic_write(Path(sys.argv[1])) as partial: partial.write_text('half'); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, check=False)
    assert done.returncode == 9


def test_what_is_written_takes_its_place_and_nothing_else_stays(tmp_path):
    write(tmp_path / "out.txt", "one")
    write(tmp_path / "out.txt", "two")
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == "two"
    assert names(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("no"), KeyboardInterrupt()])
def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path, error):
    write(tmp_path / "out.txt", "before")
    expected = r"out.txt: cannot be written \(No space left on device\)" if isinstance(error, OSError) else None
    with pytest.raises(type(error), match=expected):
        fail(tmp_path / "out.txt", error)
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == "before"
    assert names(tmp_path) == ["out.txt"]


def test_a_name_as_long_as_the_system_allows_can_be_written(tmp_path):
    write(tmp_path / ("n" * 255), "long")
    assert names(tmp_path) == ["n" * 255]


def test_a_folder_of_that_name_is_an_error_before_any_work(tmp_path):
    with pytest.raises(OSError, match="a folder has this name"):
        write(tmp_path, "text")


def test_a_strangers_link_is_never_followed(tmp_path):
    """Under every name that a temporary file of ours could have, and under its lock's."""
    precious = tmp_path / "precious.txt"
    precious.write_text("keep", encoding="utf-8")
    out = tmp_path / "out.txt"
    with atomic_write(out) as partial:
        ours = [partial, partial.with_suffix(".lock"), out.with_name("out.txt.part")]
    for path in ours:
        link_or_skip(path, precious)
    write(out, "new")
    assert precious.read_text(encoding="utf-8") == "keep"
    assert out.read_text(encoding="utf-8") == "new"
    assert not out.is_symlink()


def link_or_skip(path, target):
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("no symbolic links on this system")


def test_what_a_killed_run_leaves_is_removed_by_the_next(tmp_path):
    leave_behind(tmp_path / "out.txt")
    assert [name for name in names(tmp_path) if name.endswith(".part")]
    write(tmp_path / "out.txt", "whole")
    assert names(tmp_path) == ["out.txt"]


def test_what_cannot_be_removed_is_in_nobodys_way(windows_rules, tmp_path):
    """A scanner looks at a killed run's file."""
    leave_behind(tmp_path / "out.txt")
    (left,) = tmp_path.glob("*.part")
    windows_rules.busy[str(left)] = 1
    write(tmp_path / "out.txt", "whole")
    assert names(tmp_path) == [left.name, "out.txt"]
    write(tmp_path / "out.txt", "again")
    assert names(tmp_path) == ["out.txt"]


def test_what_killed_runs_leave_beside_each_other_is_removed_too(tmp_path):
    out = tmp_path / "out.txt"
    with atomic_write(out) as partial:
        partial.write_text("first", encoding="utf-8")
        leave_behind(out)
    write(out, "whole")
    assert names(tmp_path) == ["out.txt"]


def test_a_file_that_is_being_written_is_no_leftover(tmp_path):
    out = tmp_path / "out.txt"
    with atomic_write(out) as slow:
        slow.write_text("slow", encoding="utf-8")
        write(out, "quick")
        assert out.read_text(encoding="utf-8") == "quick"
    assert out.read_text(encoding="utf-8") == "slow"
    assert names(tmp_path) == ["out.txt"]


def test_of_several_processes_with_one_output_one_wins_whole(tmp_path):
    out = tmp_path / "out.bin"
    go = SPAWN.Event()
    children = [SPAWN.Process(target=write_repeatedly, args=(out, number, go)) for number in range(2)]
    for child in children:
        child.start()
    go.set()
    seen = set()
    while any(child.is_alive() for child in children):
        with contextlib.suppress(FileNotFoundError, PermissionError):  # the latter on Windows, while it is replaced
            content = out.read_bytes()
            assert len(content) == 300_000
            assert len(set(content)) == 1
            seen.add(content[0])
        time.sleep(0.001)
    assert [child.exitcode for child in children] == [0, 0]
    assert seen
    assert names(tmp_path) == ["out.bin"]


def test_where_there_are_no_locks_names_are_nobody_elses(tmp_path, monkeypatch):
    def no_locks(_descriptor):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("osdface_core.files.file_lock.lock", no_locks)
    with atomic_write(tmp_path / "out.txt") as slow:
        slow.write_text("slow", encoding="utf-8")
        write(tmp_path / "out.txt", "quick")
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == "slow"
    assert names(tmp_path) == ["out.txt"]


# -- by Windows' rules ------------------------------------------------------------------------------------------------


def test_nothing_of_ours_is_open_when_it_is_moved_or_stays(windows_rules, tmp_path):
    write(tmp_path / "out.txt", "text")
    assert names(tmp_path) == ["out.txt"]
    assert not [path for path in windows_rules.refused if not path.endswith(".lock")]


def test_a_scanner_that_holds_the_file_for_a_moment_is_waited_for(windows_rules, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.01)
    write(tmp_path / "out.txt", "before")
    windows_rules.busy[str(tmp_path / "out.txt")] = 1
    write(tmp_path / "out.txt", "after")
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == "after"
    assert names(tmp_path) == ["out.txt"]


def test_a_viewer_that_keeps_the_file_open_costs_no_result(windows_rules, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.01)
    out = tmp_path / "out.txt"
    write(out, "before")
    write(tmp_path / "out (1).txt", "somebody's")
    with out.open(encoding="utf-8"), pytest.raises(OSError, match=r"out.txt: .*Close that program.*out \(2\).txt"):
        write(out, "after")
    assert out.read_text(encoding="utf-8") == "before"
    assert (tmp_path / "out (2).txt").read_text(encoding="utf-8") == "after"
    assert names(tmp_path) == ["out (1).txt", "out (2).txt", "out.txt"]


def test_a_mapped_file_is_one_in_use(windows_rules, tmp_path, monkeypatch):
    """Windows has a number of its own for it."""

    def mapped(_source, target):
        if os.fspath(target).endswith("out.txt"):
            error = OSError(22, "The requested operation cannot be performed on a file with a user-mapped section open")
            error.winerror = 1224
            raise error
        move(_source, target)

    move = os.replace
    monkeypatch.setattr(module, "PAUSE", 0)
    monkeypatch.setattr(os, "replace", mapped)
    with pytest.raises(OSError, match=r"ComfyUI where it uses this file.*out \(1\).txt"):
        write(tmp_path / "out.txt", "after")
    assert (tmp_path / "out (1).txt").read_text(encoding="utf-8") == "after"


def test_what_cannot_be_removed_does_not_hide_the_reason(windows_rules, tmp_path):
    windows_rules.busy = defaultdict(lambda: 100)
    with pytest.raises(OSError, match="No space left on device"):
        fail(tmp_path / "out.txt", OSError(28, "No space left on device"))
