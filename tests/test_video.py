"""Videos: restored a few frames at a time as if all at once, and files that keep their timing, sound and colours."""

import tracemalloc
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from clips import still
from conftest import face_at

from osdface_core import Faces, ImageError, align_faces, restore_image
from osdface_core.cli import main
from osdface_core.cli.video import frame_files
from osdface_core.files.photos import read_photo, write_photo
from osdface_core.files.videos import VideoFile, check_output, write_video
from osdface_core.video.denoise import steady_crops
from osdface_core.video.restore import divide, first_needed, follow_faces, restore_video

av = pytest.importorskip("av")

TIMES = (0, 1, 2, 3, 4, 5, 9, 10, 11, 12)
"""Of the frames: three are missing in the middle."""


@pytest.fixture
def clip(monkeypatch):
    """Two windows and a frame."""
    monkeypatch.setattr("osdface_core.video.restore.WINDOW", 2)
    picture = torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(0))
    return still(picture, 5)


@pytest.fixture
def small(starter, monkeypatch):
    """The networks take crops of any size; small ones are quick."""
    monkeypatch.setattr(starter, "config", replace(starter.config, crop_size=64))
    return starter


def detect(frame):
    """One face, that trembles with the noise."""
    return Faces((face_at(40 + 20 * (float(frame.mean()) - 0.5), 30, 40),), 1, *frame.shape[2:])


def each(clip):
    return iter(clip[:, None])


def test_a_few_frames_at_a_time_are_as_all_at_once(clip, small):
    faces = follow_faces(each(clip), detect)
    assert [(face.frame, face.index) for face in faces] == [(n, 0) for n in range(len(clip))]
    parts = list(restore_video(each(clip), faces, small, steady=0.5))
    assert [len(part.image) for part in parts] == [2, 2, 1]
    whole = restore_image(clip, small, faces=faces, choose=lambda crops: steady_crops(crops, smoothing=0.5))
    assert torch.allclose(torch.cat([part.image for part in parts]), whole.image, atol=1e-5)
    unsteadied = next(restore_video(each(clip), faces, small, steady=0))
    assert not torch.allclose(unsteadied.image, whole.image[:2], atol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_a_video_is_divided_into_parts_of_like_length(clip, count):
    ranges = divide(len(clip), count)
    assert [n for own in ranges for n in own] == list(range(len(clip)))
    assert len(ranges) == min(count, 3)


def test_parts_of_a_video_have_the_same_pixels_as_all_of_it_bit_for_bit(clip, small):
    faces = follow_faces(each(clip), detect)
    whole = torch.cat([part.image for part in restore_video(each(clip), faces, small, steady=1)])
    for own in {own for count in (1, 2, 3) for own in divide(len(clip), count)}:
        needed = each(clip[first_needed(own, steady=1) :])
        parts = restore_video(needed, faces, small, steady=1, part=own)
        assert torch.equal(torch.cat([part.image for part in parts]), whole[own.start : own.stop])
    with pytest.raises(ImageError, match="ended after 4 of 5 frames"):
        list(restore_video(each(clip[:4]), faces, small, steady=1, part=range(2, 5)))


def test_no_more_is_kept_of_a_frame_that_was_looked_at_than_its_faces(clip):
    """Thumbnails of all frames took 37 kB a frame."""
    tracemalloc.start()
    try:
        follow_faces((clip[n % 5][None] for n in range(300)), detect)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 300 * 6000


def test_no_more_frames_are_read_ahead_than_steadying_needs(clip, small):
    read = []
    parts = restore_video(
        (read.append(0) or frame for frame in each(clip)), follow_faces(each(clip), detect), small, steady=0.5
    )
    next(parts)
    assert len(read) == 3  # a window, and the frame after it


def test_every_crop_is_cut_once_however_far_steadying_reaches(clip, small, monkeypatch):
    cut = []

    def align(frame, faces, size):
        cut.append(faces.frames)
        return align_faces(frame, faces, size)

    monkeypatch.setattr("osdface_core.video.restore.align_faces", align)
    list(restore_video(each(clip), follow_faces(each(clip), detect), small, steady=1))
    assert cut == [1] * len(clip)


def test_faces_that_are_not_chosen_are_reported_in_their_frame(clip, small):
    faces = follow_faces(each(clip), detect)
    half = faces.keep((face for face in faces if face.frame % 2), "not selected")
    part = next(restore_video(each(clip), half, small))
    assert [entry.restored for entry in part.report] == [False, True]
    assert torch.equal(part.image[0], clip[0])


def test_frames_of_two_sizes_none_at_all_and_too_few_are_named(clip, small):
    with pytest.raises(ImageError, match="Frame 1 is 79x60, those before it are 80x60"):
        follow_faces(iter([clip[:1], clip[:1, :, :, 1:]]), detect)
    with pytest.raises(ImageError, match="no frames"):
        follow_faces(iter([]), detect)
    with pytest.raises(ImageError, match="ended after 3 of 5 frames"):
        list(restore_video(each(clip[:3]), follow_faces(each(clip), detect), small))


def record(path, deep=False):
    """A clip of 64x48 with frames of two colours, an uneven rate, and sound."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=Fraction(30000, 1001), options={"crf": "4"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p10le" if deep else "yuv420p"
        video.codec_context.colorspace = 1  # BT.709
        sound = container.add_stream("aac", rate=48000, layout="mono")
        for number, time in enumerate(TIMES):
            levels = np.full((48, 64, 3), (200, 30, 60), np.uint8)
            levels[:, : 4 * number] = 20, 180, 90
            frame = av.VideoFrame.from_ndarray(levels, format="rgb24")
            frame = frame.reformat(format="yuv444p", dst_colorspace=1).reformat(format=video.pix_fmt)
            frame.pts, frame.time_base = time, Fraction(1001, 30000)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        for number in range(20):
            wave = np.sin(np.arange(1024) / 10 + number).astype(np.float32)[None] / 10
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, 1024 * number
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return path


def packets_of_sound(path):
    with av.open(str(path)) as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux(audio=0) if packet.dts is not None]


@pytest.mark.parametrize("deep", [False, True])
def test_a_video_written_again_has_its_timing_its_sound_and_its_colours(tmp_path, deep):
    video = VideoFile(record(tmp_path / "a.mp4", deep))
    frames = torch.cat(list(video.frames()))
    assert video.deep == deep
    assert frames.shape == (len(TIMES), 3, 48, 64)
    assert (frames[0, :, 20, 30] * 255 - torch.tensor([200, 30, 60])).abs().max() < 2
    write_video(tmp_path / "b.mp4", iter(frames.split(4)), video)
    again = VideoFile(tmp_path / "b.mp4")
    copy = torch.cat(list(again.frames()))
    assert [time * again.unit for time in again.times] == [time * Fraction(1001, 30000) for time in TIMES]
    assert again.deep == deep
    assert (copy[..., 52:60] * 255 - torch.tensor([200, 30, 60])[:, None, None]).mean((0, 2, 3)).abs().max() < 1.5
    assert packets_of_sound(tmp_path / "b.mp4") == packets_of_sound(tmp_path / "a.mp4")


def test_a_video_is_written_whole_or_not_at_all(tmp_path):
    video = VideoFile(record(tmp_path / "a.mp4"))

    def broken():
        yield torch.cat(list(video.frames()))
        raise ImageError("stop")

    (tmp_path / "b.mp4").write_bytes(b"precious")
    with pytest.raises(ImageError, match="stop"):
        write_video(tmp_path / "b.mp4", broken(), video)
    assert (tmp_path / "b.mp4").read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_files_that_are_no_videos_are_named(tmp_path):
    (tmp_path / "text.mp4").write_text("no video", encoding="utf-8")
    for name, words in (("text.mp4", "cannot be read"), ("none.mp4", "no such file")):
        with pytest.raises(ImageError, match=words):
            VideoFile(tmp_path / name)
    video = VideoFile(record(tmp_path / "a.mp4"))
    with pytest.raises(ImageError, match=r"Choose one of \.mp4"):
        write_video(tmp_path / "b.gif", iter([]), video)


def with_opus(path):
    """A clip whose sound a .mov cannot hold."""
    with av.open(str(record(path.with_suffix(".mp4")))) as source, av.open(str(path), "w") as target:
        video, sound = (
            target.add_stream_from_template(source.streams.video[0]),
            target.add_stream("libopus", rate=48000),
        )
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), format="s16", layout="mono")
        silence.sample_rate = 48000
        target.mux([*sound.encode(silence), *sound.encode()])
    return path


def test_what_cannot_be_written_is_refused_before_a_frame_is_looked_at(tmp_path, monkeypatch, caplog):
    clip = with_opus(tmp_path / "a.mkv")
    monkeypatch.setattr("osdface_core.cli.video.follow_faces", lambda *_, **__: pytest.fail("it looked"))
    for name, reason in (("b.mov", "If its sound does not fit into .mov"), ("b.webm", "Choose one of .mp4")):
        assert main(["restore", str(clip), "-o", str(tmp_path / name), "--device", "cpu"]) == 1
        assert reason in caplog.text
    for name in ("b.mp4", "b.mkv"):
        check_output(tmp_path / name, VideoFile(clip))
    assert not list(tmp_path.glob("b.*"))


def test_the_command_restores_a_video_and_a_folder_of_frames(shared, tmp_path, astronaut, monkeypatch):
    picture = astronaut.pixels[0, :, 20:180, 140:300]
    frames = tmp_path / "in"
    frames.mkdir()
    for number, frame in zip((9, 10), still(picture, 2, 0.02), strict=True):
        write_photo(frames / f"{number}.png", frame[None])
    assert [file.name for file in frame_files(frames)] == ["9.png", "10.png"]
    detector = ["--detector", str(shared / "weights" / "detection_mobilenet0.25_Final.pth"), "--device", "cpu"]
    read = []
    monkeypatch.setattr("osdface_core.cli.video.read_photo", lambda file: read.append(file.name) or read_photo(file))
    assert main(["restore", str(frames), "--frames", "-o", str(tmp_path / "out"), *detector, "--report"]) == 0
    assert read == ["9.png", "10.png"] * 2  # once to find the faces, once to restore them
    for name in ("9.png", "10.png"):
        before, after = (read_photo(folder / name).pixels for folder in (frames, tmp_path / "out"))
        assert (before != after).float().mean() > 0.3
    assert '"2 of 2 faces in 2 frames restored"' in (tmp_path / "out.json").read_text(encoding="utf-8")
    record(tmp_path / "a.mp4")
    assert main(["restore", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "b.mp4"), *detector]) == 0
    assert len(list(VideoFile(tmp_path / "b.mp4").frames())) == len(TIMES)
    assert main(["restore", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "b.mp4"), *detector]) == 1
    with pytest.raises(SystemExit):
        main(["restore", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "c.mp4"), "--aligned"])
