"""An evaluation from photos to tables: the same input for every method, figures that can be gone on from."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from spandrel_files import write_restorer

from osdface_core import ImageError, OSDFaceModel, read_photo, write_photo
from osdface_core.cli import main, parser
from osdface_core.cli.evaluate import spelled_out
from osdface_core.evaluation import (
    Evaluation,
    Method,
    Task,
    denoised,
    evaluate,
    measures,
    pairs,
    real,
    synthetic,
    write_tables,
)
from osdface_core.evaluation.degradation import STRENGTHS
from osdface_core.evaluation.evaluate import folder_name, result_file
from osdface_core.evaluation.pages import table
from osdface_core.evaluation.paper import FIGURES, SETS
from osdface_core.evaluation.report import sources
from osdface_core.evaluation.statistics import Difference, difference
from osdface_core.files.page import of_table
from osdface_core.weights.bundle import save_bundle

QUICK = ["--measures", "psnr", "sharpness", "--size", "64", "--device", "cpu"]


def keep(images: torch.Tensor) -> torch.Tensor:
    return images


def blur(images: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(images, 5, 1, 2)


def task(photos, **methods) -> Task:
    taken, missing = measures(["psnr", "ssim", "sharpness", "random"])
    assert not missing
    return Task(photos, 64, methods, taken)


def test_every_method_is_measured_on_the_same_input(face_photos: Path, tmp_path: Path) -> None:
    photos = synthetic(face_photos, seed=1).first(3)
    methods = {"denoised": Method(denoised), "nothing": Method(keep), "blurred": Method(blur)}
    result = evaluate(task(photos, **methods), tmp_path / "one")
    assert result.groups == tuple(STRENGTHS)
    assert result.methods == ["input", "denoised", "nothing", "blurred"]
    for group in result.groups:
        for name in ("PSNR ↑", "SSIM ↑", "sharpness", "random features ↓"):
            given, same = (result.values(group, method, name) for method in ("input", "nothing"))
            assert (given == same).all()
    assert result.mean("light", "input", "PSNR ↑") > result.mean("heavy", "input", "PSNR ↑")
    assert result.mean("light", "blurred", "sharpness") < result.mean("light", "input", "sharpness")
    again = evaluate(task(photos, **methods), tmp_path / "two")
    figures = [[row["figures"] | {"s a face": None} for row in one.rows] for one in (result, again)]
    assert figures[0] == figures[1]


def test_work_side_by_side_gives_the_same_figures_in_the_same_order(face_photos: Path, tmp_path: Path) -> None:
    one = task(synthetic(face_photos, {"light": STRENGTHS["light"]}), nothing=Method(keep))
    assert len(one.photos) > 4
    alone, together = evaluate(one, tmp_path / "1"), evaluate(replace(one, workers=3), tmp_path / "3")
    assert [row["photo"] for row in alone.rows] == [row["photo"] for row in together.rows]
    for name in ("PSNR ↑", "random features ↓"):
        values = (result.values("light", "nothing", name) for result in (alone, together))
        assert np.allclose(*values, atol=1e-5)


def test_what_was_interrupted_is_gone_on_from(face_photos: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def counted(images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return images

    one = task(synthetic(face_photos, {"light": STRENGTHS["light"]}), nothing=Method(counted))

    def stop(done: int, _all: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(one, tmp_path, {"seed": 0}, on_photos=stop)
    assert sum(seen) == 4
    result = evaluate(one, tmp_path, {"seed": 0})
    assert sum(seen) == len(one.photos)
    assert len(result.values("light", "nothing", "PSNR ↑")) == len(one.photos)
    with pytest.raises(ImageError, match="something else"):
        evaluate(one, tmp_path, {"seed": 1})


def test_a_line_that_was_not_finished_is_done_again(face_photos: Path, tmp_path: Path) -> None:
    one = task(synthetic(face_photos, {"light": STRENGTHS["light"]}).first(2), nothing=Method(keep))
    first = evaluate(one, tmp_path)
    journal = tmp_path / "photos.jsonl"
    journal.write_text(journal.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    second = evaluate(one, tmp_path)
    assert first.values("light", "nothing", "PSNR ↑").tolist() == second.values("light", "nothing", "PSNR ↑").tolist()
    assert len(second.rows) == len(first.rows)


def test_somebody_elses_results_are_measured_as_ours(face_photos: Path, tmp_path: Path) -> None:
    photos = synthetic(face_photos, {"light": STRENGTHS["light"], "heavy": STRENGTHS["heavy"]}).first(2)
    evaluate(task(photos, blurred=Method(blur)), tmp_path / "ours")
    theirs = task(photos, rival=tmp_path / "ours" / "results" / "blurred", blurred=Method(blur))
    result = evaluate(theirs, tmp_path / "both")
    for name in ("PSNR ↑", "random features ↓"):
        for group in photos.groups:
            assert result.values(group, "rival", name).tolist() == result.values(group, "blurred", name).tolist()
    result_file(tmp_path / "ours", "blurred", "heavy", photos.names[1]).unlink()
    with pytest.raises(ImageError, match=f"no result for {photos.names[1]}"):
        evaluate(theirs, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_pairs_go_by_name_and_real_photos_have_no_originals(face_photos: Path, tmp_path: Path) -> None:
    files = sorted(face_photos.iterdir())[:2]
    (tmp_path / "bad").mkdir()
    for file in files:
        write_photo(tmp_path / "bad" / f"{file.stem}.jpg", blur(read_photo(file).pixels))
    both = pairs(tmp_path / "bad", face_photos)
    read = both.read(0, 64)
    assert both.names == tuple(file.stem for file in files)
    assert read.target is not None
    assert (read.target - read.inputs[""]).abs().max() > 1e-3
    alone = real(tmp_path / "bad")
    result = evaluate(task(alone, nothing=Method(keep)), tmp_path / "out")
    assert result.names == ["sharpness", "s a face"]
    write_photo(tmp_path / "bad" / "zebra.png", torch.rand(1, 3, 32, 32))
    with pytest.raises(ImageError, match=r"zebra.png for one. CelebA-Test has 3,000"):
        pairs(tmp_path / "bad", face_photos)


@pytest.mark.parametrize(("read", "says"), [(synthetic, "good photos"), (real, "Wider-Test")])
def test_a_missing_set_is_one_sentence(read, says: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=says):
        read(tmp_path / "nowhere")
    with pytest.raises(ImageError, match="no photos in it"):
        read(tmp_path)


def test_a_photo_that_is_not_square_is_named(tmp_path: Path) -> None:
    write_photo(tmp_path / "wide.png", torch.rand(1, 3, 32, 48))
    with pytest.raises(ImageError, match=r"wide.png: an aligned face is square, and this is 48x32"):
        real(tmp_path).read(0, 64)


def test_an_interval_holds_the_mean_and_shrinks_with_photos() -> None:
    rng = np.random.default_rng(0)
    small, large = (difference(rng.normal(1, 1, count), np.zeros(count)) for count in (20, 2000))
    for found in (small, large):
        assert found.low < found.mean < found.high
    assert large.high - large.low < (small.high - small.low) / 5
    assert large.low < 1 < large.high
    assert large.is_clear
    assert not difference(np.array([1.0, -1.0]), np.zeros(2)).is_clear
    assert difference(np.array([2.0, np.nan]), np.array([1.0, 1.0])).mean == 1
    assert np.isnan(difference(np.array([np.inf]), np.array([1.0])).mean)


def test_an_interval_of_normal_differences_is_the_normal_one() -> None:
    gaps = np.random.default_rng(1).normal(0, 1, 400)
    found = difference(gaps, np.zeros(400))
    half = 1.96 * gaps.std() / 20
    assert found.low == pytest.approx(gaps.mean() - half, abs=0.02)
    assert found.high == pytest.approx(gaps.mean() + half, abs=0.02)


def test_the_papers_rows_stand_beside_ours_where_there_are_the_same_columns(face_photos: Path, tmp_path: Path) -> None:
    rows = [{"group": "", "photo": "a", "method": "input", "figures": {"LPIPS ↓": 0.5, "PSNR ↑": 20.0}}]
    one = Task(real(face_photos), 64, {"restored": Method(keep)}, [])
    result = Evaluation([*rows, rows[0] | {"method": "restored"}], ("",), ["input", "restored"])
    write_tables(one, result, tmp_path, paper="celeba-test", missing=["pyiqa:niqe: not measured."])
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "| OSDFace (paper) | 0.3365 | – | 0.1773 |" in text
    assert "- pyiqa:niqe: not measured." in text
    assert [name for name, _ in sources(one, "celeba-test", ["pyiqa:niqe: not measured."])] == [
        "rows marked (paper)",
        "pyiqa:niqe",
    ]
    for name, methods in FIGURES.items():
        assert all(len(figures) == len(SETS[name]) for figures in methods.values())
        assert len(methods) == 10


def test_two_methods_cannot_share_a_folder(face_photos: Path, tmp_path: Path) -> None:
    methods = {"a b": Method(keep), "a_b": Method(keep)}
    with pytest.raises(ImageError, match="Two methods would be called a_b"):
        evaluate(task(synthetic(face_photos), **methods), tmp_path)


def test_folders_of_methods_have_harmless_names() -> None:
    assert folder_name("restored, 4 steps") == "restored__4_steps"
    assert folder_name("../../etc") == ".._.._etc"


def test_the_command_writes_tables_and_pictures(face_photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["eval", "synthetic", str(face_photos), "-o", str(out), "--count", "1", *QUICK]
    assert main(arguments) == 0
    assert (out / "table.md").read_text(encoding="utf-8").count("| restored |") == 3 * len(STRENGTHS)
    table = json.loads((out / "table.json").read_text(encoding="utf-8"))
    assert len(table["means"]) == 4 * len(STRENGTHS)  # the input, non-local means, the default colours and plain
    assert set(table["differences"][0]["PSNR ↑"]) == {"mean", "low", "high"}
    rows = list(csv.DictReader((out / "table.csv").read_text(encoding="utf-8").splitlines()))
    assert float(rows[0]["PSNR ↑"]) == pytest.approx(table["means"][0]["PSNR ↑"])
    assert all((out / f"{strength}.png").is_file() for strength in STRENGTHS)
    page = (out / "page.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 2 * len(STRENGTHS)
    assert "http" not in page.replace("http-equiv", "")
    assert "PSNR ↑" in page
    assert main(arguments) == 1


def test_a_page_breaks_long_words_alone_and_shows_what_is_clear_in_bold() -> None:
    clear, tie, same = Difference(1.0, 0.5, 1.5), Difference(1.0, -0.5, 2.5), Difference(0.0, 0.0, 0.0)
    made = table("Differences", [{"method": "C:/" + 30 * "x", "dlib ↓": clear, "SSIM ↑": tie, "found ↑": same}])
    text = "".join(of_table(made))
    assert "<td><b>+1 (+0.5 … +1.5)</b></td><td>+1 (-0.5 … +2.5)</td><td>0</td>" in text
    assert text.count('<td class="long">') == 1


def test_the_old_spelling_is_understood() -> None:
    for given in (["eval", "photos", "-o", "out"], ["eval", "-o", "out", "photos"]):
        options = parser().parse_args(spelled_out(given))
        assert (options.kind, options.folder, options.output) == ("synthetic", Path("photos"), Path("out"))
    assert spelled_out(["eval", "real", "photos"]) == ["eval", "real", "photos"]
    assert spelled_out(["eval", "--help"]) == ["eval", "--help"]
    assert spelled_out(["restore", "photo.png"]) == ["restore", "photo.png"]


def test_models_rivals_and_results_stand_side_by_side(starter: OSDFaceModel, face_photos: Path, tmp_path: Path) -> None:
    (tmp_path / "without_prompt").mkdir()
    files = [tmp_path / "full.safetensors", tmp_path / "without_prompt" / "bundle.safetensors"]
    for file in files:
        save_bundle(starter, file)
    common = ["--count", "1", "--weights", *map(str, files), *QUICK]
    assert main(["eval", "real", str(face_photos), "-o", str(tmp_path / "real"), *common]) == 0
    table = (tmp_path / "real" / "table.md").read_text(encoding="utf-8")
    assert "| without_prompt | full |" in table
    assert "PSNR" not in table.split("\n- ")[0]
    assert "\n- PSNR ↑: not measured. These photos have no originals." in table
    rivals = [
        "--rival",
        f"they={tmp_path / 'real/results/input'}",
        "--rival",
        str(write_restorer(tmp_path / "former.pth")),
    ]
    out = ["-o", str(tmp_path / "pairs"), *rivals, *common]
    assert main(["eval", "pairs", str(face_photos), str(face_photos), *out]) == 0
    table = (tmp_path / "pairs" / "table.md").read_text(encoding="utf-8")
    assert "| they |" in table
    assert "| former |" in table
