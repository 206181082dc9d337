"""Checkpoints of training: read as data only, whatever is in their folder, and passed over where they are damaged."""

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file, save_file
from torch import Tensor
from windows_rules import WindowsRules

from osdface_core.training.checkpoint import CheckpointError, checkpoints
from osdface_core.training.engine import train
from osdface_core.training.recipe import Recipe, StageRecipe, read_recipe
from osdface_core.training.run import build_stage
from osdface_core.training.stage import Stage
from osdface_core.weights.files import sha256

TINY = ROOT / "tests" / "recipes" / "tiny.yaml"


@pytest.fixture(scope="session")
def recipe(face_photos: Path) -> Recipe:
    return read_recipe(TINY, {"PHOTOS": face_photos, "RUN": "run"})


@pytest.fixture(scope="session")
def entry(recipe: Recipe) -> StageRecipe:
    return recipe.stages["autoencoder"]


@pytest.fixture(scope="session")
def finished(recipe: Recipe, entry: StageRecipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Tensor]]:
    """The folder of a run of four steps with its checkpoints of steps 2 and 4, and the weights it ended with."""
    folder, stage = tmp_path_factory.mktemp("run"), new(recipe, entry)
    assert train(stage, entry, folder)
    return folder, [weight.detach().clone() for weight in stage.trained()]


@pytest.fixture
def folder(finished: tuple[Path, list[Tensor]], tmp_path: Path) -> Path:
    """A copy of it, to spoil."""
    return Path(shutil.copytree(finished[0], tmp_path / "run"))


def new(recipe: Recipe, entry: StageRecipe) -> Stage:
    torch.manual_seed(0)
    return build_stage(recipe, entry)


class Runs:
    """Touches a file when it is unpickled the ordinary way."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


ACCELERATE = (
    *("model.bin", "pytorch_model.bin", "optimizer.bin", "optimizer_1.bin", "scheduler.bin", "scheduler_1.bin"),
    *("custom_checkpoint_0.pkl", "custom_checkpoint_1.pkl", "random_states_0.pkl", "scaler.pt"),
)
"""The pickled files of a checkpoint as accelerate writes it."""


def pickled(canary: Path) -> bytes:
    return pickle.dumps({"step": 0, "evil": Runs(canary)}, 2)


def test_nothing_in_a_checkpoint_is_run(folder: Path, recipe: Recipe, entry: StageRecipe, tmp_path: Path) -> None:
    """As a stranger's folder may be: every file a trap, under the names we write and those of accelerate's."""
    canary = tmp_path / "canary"
    for path in checkpoints(folder):
        for file in [*path.iterdir(), *(path / name for name in ACCELERATE)]:
            file.write_bytes(pickled(canary))
            torch.save({"evil": Runs(canary)}, path / "zipped.bin")
    with pytest.raises(CheckpointError, match=r"checkpoint-0000004.*no checkpoint to go on from"):
        train(new(recipe, entry), entry, folder)
    assert not canary.exists()


def test_a_sound_checkpoint_with_traps_beside_it_runs_nothing(
    folder: Path, recipe: Recipe, entry: StageRecipe, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    for path in checkpoints(folder):
        for name in ACCELERATE:
            (path / name).write_bytes(pickled(canary))
    assert train(new(recipe, entry), entry, folder)
    assert not canary.exists()


def test_the_traps_are_alive(tmp_path: Path) -> None:
    pickle.loads(pickled(tmp_path / "canary"))  # noqa: S301
    assert (tmp_path / "canary").exists()


def test_checkpoints_of_earlier_versions_are_refused_by_name(
    folder: Path, recipe: Recipe, entry: StageRecipe, tmp_path: Path
) -> None:
    for path in checkpoints(folder):
        for file in path.iterdir():
            file.unlink()
        for name in ACCELERATE:
            (path / name).write_bytes(pickled(tmp_path / "canary"))
    with pytest.raises(CheckpointError, match="written by an earlier version, as pickled objects"):
        train(new(recipe, entry), entry, folder)
    assert not (tmp_path / "canary").exists()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("tensors.safetensors", truncate),
        ("tensors.safetensors", flip),
        ("tensors.safetensors", empty),
        ("tensors.safetensors", Path.unlink),
        ("state.json", truncate),
        ("state.json", empty),
        ("state.json", Path.unlink),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    folder: Path,
    finished: tuple[Path, list[Tensor]],
    recipe: Recipe,
    entry: StageRecipe,
    name: str,
    damage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    damage(folder / "checkpoint-0000004" / name)
    stage = new(recipe, entry)
    torch.manual_seed(123)
    assert train(stage, entry, folder)
    assert "checkpoint-0000004: the checkpoint is damaged" in caplog.text
    assert "passed over" in caplog.text
    assert f"going on from {folder / 'checkpoint-0000002'}" in caplog.text
    assert all(torch.equal(one, two) for one, two in zip(stage.trained(), finished[1], strict=True))
    caplog.clear()
    assert train(new(recipe, entry), entry, folder)
    assert f"going on from {folder / 'checkpoint-0000004'}" in caplog.text


def rewrite(path: Path, edit) -> None:
    """Change a checkpoint's state, so that its sums are right again."""
    tensors, state = (
        load_file(path / "tensors.safetensors"),
        json.loads((path / "state.json").read_text(encoding="utf-8")),
    )
    edit(state, tensors)
    save_file(tensors, path / "tensors.safetensors")
    (path / "state.json").write_text(
        json.dumps(state | {"sha256": sha256(path / "tensors.safetensors")}), encoding="utf-8"
    )


def other_shape(state, tensors) -> None:
    name = next(name for name in tensors if name.startswith("/ema"))
    tensors[name] = torch.zeros(1)


def other_moments(state, tensors) -> None:
    name = next(name for name in tensors if name.endswith("exp_avg"))
    tensors[name] = torch.zeros(3, 3)


LIES = {
    "another shape": other_shape,
    "other moments": other_moments,
    "a text for a step": lambda state, tensors: state.update(step="4"),
    "a step before the first": lambda state, tensors: state.update(step=-1),
    "a list": lambda state, tensors: state.update(random=[]),
    "random bytes": lambda state, tensors: tensors.update({"/random/cpu": torch.zeros(1, 7, dtype=torch.uint8)}),
    "no schedulers": lambda state, tensors: state.pop("schedulers"),
    "a weight too many": lambda state, tensors: state["moments"][0].update({"99999": state["moments"][0]["0"]}),
    "a scheduler of texts": lambda state, tensors: state["schedulers"][0].update(last_epoch="1"),
    "an entry that is not there": lambda state, tensors: state["stage"].update(more={"$tensor": "nothing"}),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_checkpoint_that_is_not_of_this_run_is_named(
    folder: Path, recipe: Recipe, entry: StageRecipe, lie: str
) -> None:
    shutil.rmtree(folder / "checkpoint-0000002")
    rewrite(folder / "checkpoint-0000004", LIES[lie])
    with pytest.raises(CheckpointError, match=r"checkpoint-0000004.*no checkpoint to go on from"):
        train(new(recipe, entry), entry, folder)


def test_a_program_that_looks_at_a_checkpoint_is_waited_for(
    folder: Path, recipe: Recipe, entry: StageRecipe, windows_rules: WindowsRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virus scanner, which has what is new open for a moment."""
    monkeypatch.setattr("osdface_core.files.atomic_write.PAUSE", 0.01)
    (newest,) = checkpoints(folder)[-1:]
    shutil.rmtree(newest)
    windows_rules.busy[str(folder / "checkpoint.part")] = 2
    assert train(new(recipe, entry), entry, folder)
    assert newest in checkpoints(folder)
    assert windows_rules.refused.count(str(folder / "checkpoint.part")) == 2


def test_a_run_in_half_precision_goes_on_where_it_was(recipe: Recipe, entry: StageRecipe, tmp_path: Path) -> None:
    entry = replace(entry, schedule=replace(entry.schedule, precision="bf16", warmup=2, decay="cosine"))
    whole, part = new(recipe, entry), new(recipe, entry)
    assert train(whole, entry, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole" / "checkpoint-0000002", tmp_path / "part" / "checkpoint-0000002")
    assert train(part, entry, tmp_path / "part")
    assert all(torch.equal(one, two) for one, two in zip(whole.trained(), part.trained(), strict=True))


def test_what_the_first_process_cannot_write_ends_the_others_too(face_photos: Path, tmp_path: Path) -> None:
    """Without a launcher that would end them: each has to end by itself, and to say why."""
    blocked = tmp_path / "autoencoder" / "step-0000004.png"
    blocked.mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    script = (
        "import sys\nfrom osdface_core.cli import main\n"
        f"code = main(['train', {str(TINY)!r}, '-o', {str(tmp_path)!r}, '--stage', 'autoencoder',"
        f" '--set', {f'PHOTOS={face_photos}'!r}])\n"
        "print(code, flush=True)\nsys.stdin.read()\n"  # a failed process that lives on is the one that others wait for
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(tmp_path / f"{rank}.log").open("w", encoding="utf-8"),
            text=True,
            env=os.environ
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
            | {"MASTER_PORT": port, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1", "PYTHONPATH": str(ROOT)},
        )
        for rank in range(2)
    ]
    watch = threading.Timer(120, lambda: [process.kill() for process in running])
    watch.start()
    try:
        codes = [process.stdout.readline().strip() for process in running]
    finally:
        watch.cancel()
        for process in running:
            process.kill()
            process.wait()
    logs = [(tmp_path / f"{rank}.log").read_text(encoding="utf-8") for rank in range(2)]
    assert codes == ["1", "1"], logs
    assert "step-0000004.png" in logs[0]
    assert "Another process" in logs[1]
