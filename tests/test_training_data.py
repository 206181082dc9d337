"""Training pairs: which photographs, in which order, and what is wrong with them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from osdface_core import ImageError
from osdface_core.evaluation.degradation import Degradation
from osdface_core.training.data import DataConfig, Draws, FacePairs, check, find_photos, pairs_loader


def config(photos: Path, **options) -> DataConfig:
    return DataConfig(folders=(str(photos),), size=64, **options)


def test_a_pair_depends_on_its_draw_alone(face_photos: Path) -> None:
    pairs = FacePairs(config(face_photos), seed=3)
    one, again, other = pairs[(0, 5)], pairs[(0, 5)], pairs[(0, 6)]
    assert torch.equal(one["lq"], again["lq"])
    assert torch.equal(one["hq"], again["hq"])
    assert not torch.equal(one["lq"], other["lq"])
    assert one["hq"].shape == one["lq"].shape == (3, 64, 64)


def test_what_macos_keeps_about_a_photo_is_none(face_photos: Path, tmp_path: Path) -> None:
    (tmp_path / "._face_0.png").write_bytes(b"\0\x05\x16\x07")
    (tmp_path / "face_0.png").write_bytes((face_photos / "face_0.png").read_bytes())
    assert find_photos(config(tmp_path)) == [tmp_path / "face_0.png"]


def test_without_degradation_both_are_the_same_window(face_photos: Path) -> None:
    pairs = FacePairs(config(face_photos, window=32, degradation=Degradation(passes=0)))
    for position in range(6):
        pair = pairs[(position % len(pairs), position)]
        assert pair["hq"].shape == (3, 32, 32)
        assert torch.equal(pair["hq"], pair["lq"])


def test_other_colours_keep_the_brightness_of_a_photo(face_photos: Path) -> None:
    plain, other = (
        FacePairs(config(face_photos, recolour=share, degradation=Degradation(passes=0))) for share in (0, 1)
    )
    pairs = [(plain[(0, position)]["hq"], other[(0, position)]["hq"]) for position in range(4)]
    assert any((one - two).abs().max() > 0.1 for one, two in pairs)
    for one, two in pairs:
        inside = ((two > 0) & (two < 1)).all(0)
        assert torch.allclose(one.mean(0)[inside], two.mean(0)[inside], atol=1e-5)


def test_every_photo_comes_once_an_epoch_and_a_run_goes_on_where_it_was() -> None:
    whole = iter(Draws(photos=6, batch_size=4, seed=1))
    batches = [next(whole) for _ in range(6)]
    photos = [index for batch in batches for index, _ in batch]
    for epoch in range(4):
        assert sorted(photos[6 * epoch : 6 * epoch + 6]) == list(range(6))
    assert photos[:6] != photos[6:12]
    later = iter(Draws(photos=6, batch_size=4, seed=1, start=3))
    assert [next(later) for _ in range(3)] == batches[3:]


def test_workers_change_nothing(face_photos: Path) -> None:
    alone = next(iter(pairs_loader(config(face_photos), 4, seed=0)))
    helped = next(iter(pairs_loader(config(face_photos, workers=2), 4, seed=0)))
    assert torch.equal(alone["lq"], helped["lq"])


def test_the_manifest_chooses_groups(face_photos: Path, tmp_path: Path) -> None:
    names = sorted(photo.name for photo in face_photos.iterdir())
    kind = "/".join(face_photos.parts[-2:])
    lines = ["file,group"] + [f"{kind}/{name},{'odd' if n % 2 else 'even'}" for n, name in enumerate(names)]
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(lines), encoding="utf-8")
    chosen = find_photos(config(face_photos, manifest=str(manifest), groups=("odd",)))
    assert [photo.name for photo in chosen] == names[1::2]
    with pytest.raises(ImageError, match=r"data\.folders"):
        find_photos(config(face_photos, manifest=str(manifest), groups=("none",)))


def test_broken_photos_are_found_beforehand(face_photos: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes((next(face_photos.iterdir())).read_bytes()[:200])
    assert check([*find_photos(config(face_photos)), broken]) == [broken]


def test_pixels_are_floats_from_0_to_1(face_photos: Path) -> None:
    pair = FacePairs(config(face_photos))[(0, 0)]
    for image in pair.values():
        assert image.dtype == torch.float32
        assert image.min() >= 0
        assert image.max() <= 1
    assert np.isfinite(pair["lq"].numpy()).all()
