"""Videos in parts: by several processes, resumed, joined without being encoded twice."""

import logging

import pytest
import torch
from test_video import TIMES, packets_of_sound, record

from osdface_core import ImageError
from osdface_core.cli import main
from osdface_core.files.video_parts import decoding_times, join_parts, write_part
from osdface_core.files.videos import VideoFile, write_video

pytest.importorskip("av")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("deep", [False, True])
def test_parts_are_joined_as_they_are_with_the_timing_and_the_sound_of_the_video(tmp_path, suffix, deep):
    video = VideoFile(record(tmp_path / "a.mp4", deep))
    frames = torch.cat(list(video.frames()))
    parts = [tmp_path / f"{first}.mkv" for first in (0, 4, 8)]
    for first, part in zip((0, 4, 8), parts, strict=True):
        write_part(part, iter(frames[first : first + 4].split(2)), video, first)
    join_parts(tmp_path / f"b{suffix}", parts, video, video.times)
    write_video(tmp_path / f"c{suffix}", iter([frames]), video)
    joined, at_once = VideoFile(tmp_path / f"b{suffix}"), VideoFile(tmp_path / f"c{suffix}")
    own = torch.cat([frame for part in parts for frame in VideoFile(part).frames()])
    assert torch.equal(torch.cat(list(joined.frames())), own), "not encoded again"
    assert len(list(at_once.frames())) == len(TIMES)
    times, wanted = ([time * it.unit for time in it.times] for it in (joined, at_once))
    assert [time - times[0] for time in times] == pytest.approx([time - wanted[0] for time in wanted], abs=0.0011)
    assert (joined.deep, joined.colour) == (deep, at_once.colour)
    assert packets_of_sound(tmp_path / f"b{suffix}") == packets_of_sound(tmp_path / f"c{suffix}")
    assert [float(frame.sum()) for frame in video.frames(first=7)] == [float(frame.sum()) for frame in frames[7:]]


def test_packets_are_decoded_in_order_and_not_after_they_are_shown():
    shown = [0, 4, 2, 1, 3, 5, 9, 7, 6, 8]
    times = decoding_times(shown)
    assert times == sorted(set(times))
    assert all(decoded <= time for decoded, time in zip(times, shown, strict=True))


def test_the_command_restores_a_video_by_two_processes_and_resumes_it(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("osdface_core.cli.clip_parts.PART", 8)
    record(tmp_path / "a.mp4")
    command = ["restore", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "b.mp4"), "--devices", "cpu,cpu", "--report"]

    def fail(*_):
        raise ImageError("as if the disk were full")

    with monkeypatch.context() as patch:
        patch.setattr("osdface_core.cli.clip_parts.join_parts", fail)
        assert main(command) == 1
    assert "as if the disk were full" in caplog.text
    assert not (tmp_path / "b.mp4").exists()
    (folder,) = (tmp_path / ".osdface").iterdir()
    assert {path.name for path in folder.glob("0*")} == {f"0000{n}{kind}" for n in "01" for kind in (".mkv", ".json")}
    (folder / "00001.json").unlink()
    with monkeypatch.context() as patch:
        patch.setattr("osdface_core.cli.video.follow_faces", lambda *_, **__: pytest.fail("it looked for faces again"))
        assert main([*command, "--resume"]) == 0
    assert "1 of 2 parts are done already" in caplog.text
    assert len(list(VideoFile(tmp_path / "b.mp4").frames())) == len(TIMES)
    assert (tmp_path / "b.json").exists()
    assert not list((tmp_path / ".osdface").iterdir())
    assert main([*command, "--resume"]) == 0
    assert "b.mp4 is there already" in caplog.text
