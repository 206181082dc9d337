"""Recognition through hot air: curves against a slow reference, symmetric, bounded, and the command from end to end."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from osdface_core import ImageError, read_photo, write_photo
from osdface_core.cli import main
from osdface_core.evaluation import Method, Task, evaluate
from osdface_core.evaluation.curves import (
    accuracy,
    area,
    average_precision,
    best_threshold,
    equal_error,
    precision_recall,
    roc,
    true_at_false,
)
from osdface_core.evaluation.plots import plot
from osdface_core.evaluation.recognition import ORIGINAL, Pair, in_hot_air, read_pairs, recognize

LABELLED = st.lists(st.tuples(st.integers(-20, 20), st.booleans()), min_size=2, max_size=60).filter(
    lambda pairs: len({same for _, same in pairs}) == 2
)


def arrays(pairs: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in pairs], float) / 10, np.array([same for _, same in pairs])


@given(LABELLED)
def test_the_area_under_roc_is_the_chance_that_a_pair_of_one_person_is_more_alike(pairs) -> None:
    scores, same = arrays(pairs)
    gaps = scores[same][:, None] - scores[~same][None]
    expected = (gaps > 0).mean() + (gaps == 0).mean() / 2
    assert area(*roc(scores, same)) == pytest.approx(expected)
    assert area(*roc(-scores, ~same)) == pytest.approx(expected), "symmetric"


@given(LABELLED)
def test_curves_are_those_of_trying_every_threshold(pairs) -> None:
    scores, same = arrays(pairs)
    tried = np.unique(scores)[::-1]
    true = np.array([(scores[same] >= threshold).sum() for threshold in tried])
    false = np.array([(scores[~same] >= threshold).sum() for threshold in tried])
    rates = roc(scores, same)
    assert rates[0].tolist() == [0, *(false / (~same).sum())]
    assert rates[1].tolist() == [0, *(true / same.sum())]
    recall, precision = precision_recall(scores, same)
    assert recall.tolist() == [0, *(true / same.sum())]
    assert precision.tolist() == [1, *(true / (true + false))]
    expected = sum(
        (now - before) * there for before, now, there in zip(recall, recall[1:], precision[1:], strict=False)
    )
    assert average_precision(scores, same) == pytest.approx(expected)
    for curve in (*rates, recall, precision):
        assert curve.min() >= 0
        assert curve.max() <= 1
    assert (np.diff(rates[0]) >= 0).all()
    assert (np.diff(rates[1]) >= 0).all()
    found = true_at_false(*rates, 0.1)
    assert found == max(
        (t / same.sum() for t, f in zip(true, false, strict=True) if f <= 0.1 * (~same).sum()), default=0
    )
    assert 0 <= equal_error(*rates) <= 1


@given(LABELLED)
def test_no_threshold_is_better_than_the_best(pairs) -> None:
    scores, same = arrays(pairs)
    right = ((scores >= best_threshold(scores, same)) == same).mean()
    assert right == max(((scores >= threshold) == same).mean() for threshold in [*scores, scores.max() + 1])


def test_known_curves() -> None:
    same = np.array([True, True, False, False])
    assert area(*roc(np.array([4.0, 3, 2, 1]), same)) == 1
    assert equal_error(*roc(np.array([4.0, 3, 2, 1]), same)) == 0
    assert area(*roc(np.ones(4), same)) == 0.5
    assert equal_error(*roc(np.ones(4), same)) == 0.5
    assert area(*roc(np.array([1.0, 2, 3, 4]), same)) == 0


def test_accuracy_takes_its_threshold_from_the_other_folds() -> None:
    rng = np.random.default_rng(0)
    same = np.arange(600) % 2 == 0
    assert accuracy(same + 0.3 * rng.random(600), same).mean() == 1
    chance = accuracy(rng.random(600), same).mean()
    assert 0.4 < chance < 0.6, "what is chance must not come out better by choosing a threshold for it"


def test_sklearn_says_the_same() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(1)
    same = rng.random(500) < 0.4
    scores = (rng.normal(same, 1) * 20).round() / 20
    assert area(*roc(scores, same)) == pytest.approx(metrics.roc_auc_score(same, scores))
    assert average_precision(scores, same) == pytest.approx(metrics.average_precision_score(same, scores))


def test_pairs_are_read_as_lfw_writes_them(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("2\t1\nAnna_Lee\t1\t4\nAnna_Lee 2 Bo_Xu 13\n\n", encoding="utf-8")
    assert read_pairs(tmp_path / "pairs.txt") == [
        Pair("Anna_Lee_0001", "Anna_Lee_0004", True),
        Pair("Anna_Lee_0002", "Bo_Xu_0013", False),
    ]
    (tmp_path / "pairs.txt").write_text("2\nA 1 2\nA 1 3\nA 1 B 1\nA 1 B 2\n", encoding="utf-8")
    assert [pair.same for pair in read_pairs(tmp_path / "pairs.txt", 1)] == [True, False]
    (tmp_path / "pairs.txt").write_text("1\nAnna 1 2\nAnna one two\n", encoding="utf-8")
    with pytest.raises(ImageError, match=r"line 3 is no pair .*LFW has"):
        read_pairs(tmp_path / "pairs.txt")
    (tmp_path / "pairs.txt").write_text("1\nAnna 1 2\n", encoding="utf-8")
    with pytest.raises(ImageError, match="of one person, and of two"):
        read_pairs(tmp_path / "pairs.txt")
    with pytest.raises(ImageError, match="no such list"):
        read_pairs(tmp_path / "nothing.txt")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Three colours that are people, three photos of each, half of them in a folder of the person's."""
    for person, colour in enumerate(torch.eye(3) * 0.6 + 0.2):
        for number in range(1, 4):
            folder = tmp_path / "faces" / (f"p{person}" if number < 3 else "")
            folder.mkdir(parents=True, exist_ok=True)
            image = colour[:, None, None].expand(3, 64, 64) + 0.1 * torch.rand(3, 64, 64)
            write_photo(folder / f"p{person}_000{number}.png", image[None].clamp(0, 1))
    lines = [f"p{person} {a} {b}" for person in range(3) for a, b in ((1, 2), (1, 3), (2, 3))]
    lines += [f"p{a} {number} p{b} {number}" for a, b in ((0, 1), (1, 2), (0, 2)) for number in (1, 2, 3)]
    (tmp_path / "pairs.txt").write_text("\n".join(["1 9", *lines]), encoding="utf-8")
    return tmp_path


def mean_colour(images: torch.Tensor) -> torch.Tensor:
    return images.mean((2, 3)) - 0.4


def test_results_are_compared_and_a_pair_is_as_alike_either_way_round(people: Path) -> None:
    pairs = read_pairs(people / "pairs.txt")
    photos = in_hot_air(people / "faces", pairs, (20_000, 40_000))
    methods = {"grey": Method(lambda images: images.mean(1, keepdim=True).expand_as(images))}
    task = Task(photos, 64, methods, [])
    evaluate(task, people / "out")
    found = recognize(task, pairs, people / "out", mean_colour)
    assert set(found.scores) == {(g, m) for g in ("20000", "40000") for m in ("input", "grey", ORIGINAL)}
    for scores in found.scores.values():
        assert np.abs(scores).max() <= 1 + 1e-6
    rows = {(row["strength"], row["method"]): row for row in found.rows()}
    assert rows["20000", "input"]["area under ROC ↑"] == 1, "colours survive hot air"
    assert rows["20000", "grey"]["area under ROC ↑"] < 0.9
    turned = [Pair(pair.second, pair.first, pair.same) for pair in pairs]
    other = recognize(task, turned, people / "out", mean_colour)
    for key, scores in found.scores.items():
        assert np.allclose(scores, other.scores[key], atol=1e-6)


def test_hot_air_grows_with_its_strength_and_comes_from_the_seed(people: Path) -> None:
    pairs = read_pairs(people / "pairs.txt")
    read = [in_hot_air(people / "faces", pairs, (5_000, 20_000, 40_000), seed).read(0, 64) for seed in (0, 0, 1)]
    errors = [float((image - read[0].target).square().mean()) for image in read[0].inputs.values()]
    assert errors == sorted(errors)
    assert torch.equal(read[0].inputs["20000"], read[1].inputs["20000"])
    assert not torch.equal(read[0].inputs["20000"], read[2].inputs["20000"])
    (people / "faces" / "p1_0003.png").unlink()
    with pytest.raises(ImageError, match="p1_0003 is not there"):
        in_hot_air(people / "faces", pairs, (20_000,))


def test_a_plot_is_sound_svg_with_every_name(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    line = np.linspace(0, 1, 5000)
    text = plot("ROC <20000>", "false", "true", {"a & b": (line, line**2), "c": (line, line)})
    root = ElementTree.fromstring(text)
    said = [part.text for part in root.iter() if part.text]
    assert {"ROC <20000>", "a & b", "c", "false", "true"} <= set(said)
    assert len(text) < 30_000


def test_the_command_leaves_tables_and_curves(people: Path, shared: Path) -> None:
    embedder = shared / "weights" / "mobilefacenet.safetensors"
    out = people / "out"
    arguments = ["eval", "recognition", str(people / "faces"), str(people / "pairs.txt"), "-o", str(out)]
    arguments += ["--embedder", str(embedder), "--turbulence", "40000", "--size", "64", "--device", "cpu"]
    arguments += ["--rival", f"they={people / 'theirs'}", "--attention"]
    for name in ("p0_0001", "p0_0002", "p0_0003", *(f"p{n}_000{k}" for n in (1, 2) for k in (1, 2, 3))):
        (people / "theirs" / "40000").mkdir(parents=True, exist_ok=True)
        write_photo(people / "theirs" / "40000" / f"{name}.png", torch.rand(1, 3, 64, 64))
    assert main(arguments) == 0
    rows = json.loads((out / "table.json").read_text(encoding="utf-8"))
    assert {row["method"] for row in rows} >= {"input", "restored", "they", ORIGINAL}
    assert all(0 <= row["area under ROC ↑"] <= 1 for row in rows)
    for name in ("roc_40000.svg", "precision_recall_40000.svg", "40000.png", "table.md", "table.csv", "attention.png"):
        assert (out / name).stat().st_size > 200
    assert read_photo(out / "results" / "input" / "40000" / "p0_0001.png").pixels.shape[-1] == 64
