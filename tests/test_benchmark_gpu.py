"""benchmarks/gpu.py on a card that is none: what it measures when, what it keeps, what it prints."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))

import gpu
import gpu_card
from gpu_table import markdown


class FakeCard:
    """A card whose clock goes on when it is told to work."""

    name = "a card"

    def __init__(self):
        self.clock, self.log = 0.0, []

    def work(self, seconds):
        self.clock += seconds
        self.log.append("work")

    def now(self):
        return self.clock

    def wait(self):
        self.log.append("wait")

    def mark(self):
        return self.clock

    def between(self, start, end):
        return end - start

    def reset_peaks(self):
        self.log.append("reset")

    def memory(self):
        self.log.append("memory")
        return {"allocated": 2.4, "reserved": 3.0, "nvidia-smi": float("nan")}


class FakeSubject:
    """A model that takes 13 ms a face, and two more with copies; slower while it is cold."""

    def __init__(self, card):
        self.card, self.cold = card, 3
        self.model = SimpleNamespace(vre=SimpleNamespace(tf32=True), parameters=list)
        card.log.append("load")

    def on_device(self, count):
        self.cold = 3

        def work():
            self.card.work(0.013 * count + (1.0 if self.cold > 0 else 0.0))
            self.cold -= 1

        return work

    def with_copies(self, count):
        return lambda: self.card.work(0.015 * count)


@pytest.fixture
def card():
    return FakeCard()


def test_three_runs_warm_up_and_do_not_count(card):
    seconds = gpu_card.by_events(card, FakeSubject(card).on_device(2))
    assert len(seconds) == 20
    assert seconds == pytest.approx([0.026] * 20)
    assert card.log.count("work") == 23


def test_the_wall_clock_stops_when_the_device_has_been_waited_for(card):
    card.wait = lambda: card.work(0.5)
    assert gpu_card.by_wall(card, lambda: card.work(0.1), 5) == pytest.approx(0.1 + 0.5 / 5)


def test_peaks_are_reset_after_loading_and_for_every_count(card):
    found = gpu.ours(card, lambda: FakeSubject(card), counts=(1, 8))
    assert card.log[:3] == ["load", "reset", "memory"]
    assert card.log.count("reset") == 3
    one = card.log[3 : card.log.index("reset", 4)]
    assert one.count("work") == 2 * 23  # three to warm up in each of both ways
    assert one.index("memory") == len(one) - 1 - one[::-1].index("memory")
    assert found["8"]["seconds"] == pytest.approx(8 * 0.013)
    assert found["8"]["with copies"] == pytest.approx(8 * 0.015)
    assert found["loaded"]["allocated"] == 2.4


def test_what_there_is_no_time_for_is_skipped_and_what_fails_is_told(card):
    def fail():
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    tasks = {"long": lambda: card.work(500), "fails": fail, "late": lambda: 1}
    tasks = {"fails": fail, **tasks}
    found = gpu_card.each(card, tasks.items())
    assert found["fails"] == "failed: OutOfMemoryError: CUDA out of memory."
    assert found["late"] == "skipped: no time left"


def test_variants_leave_everything_as_it_was(card):
    loaded = []

    def load(compiled=False):
        loaded.append(compiled)
        return FakeSubject(card)

    before = (gpu.convolution.FOLD_PIXELS, torch.backends.cudnn.benchmark, gpu.autoencoder.channels_last)
    found = gpu.variants(card, load)
    assert before == (gpu.convolution.FOLD_PIXELS, torch.backends.cudnn.benchmark, gpu.autoencoder.channels_last)
    assert not gpu.triton_norm.broken.is_set()
    assert loaded == [False, True]
    assert all(set(figures) == {"1", "8"} for figures in found.values()), found


def test_a_whole_pass_and_its_copies_run_on_any_device(tiny, monkeypatch):
    monkeypatch.setattr(gpu, "SIDE", 64)
    subject = gpu.Subject(tiny, torch.device("cpu"))
    with torch.no_grad():
        assert subject.on_device(2)().shape == (2, 3, 64, 64)
        work = subject.with_copies(1)
        work()
        work()


def test_parts_append_to_one_file(card, tmp_path):
    file = tmp_path / "gpu.json"
    gpu.append(file, "ceilings", {"copy, GB/s": 900.0}, card, 1.5)
    gpu.append(file, "ours", {}, card, 2.5)
    records = json.loads(file.read_text(encoding="utf-8"))
    assert [record["part"] for record in records] == ["ceilings", "ours"]
    assert records[0] == {"part": "ceilings", "card": "a card", "took": 1.5, "figures": {"copy, GB/s": 900.0}}


def test_tables_are_of_the_last_record_of_each_part(card, tmp_path):
    file = tmp_path / "gpu.json"
    gpu.append(file, "ceilings", {"fp16, TFLOP/s": 1.0}, card, 1)
    gpu.append(file, "ceilings", {"fp16, TFLOP/s": 700.0, "bf16, TFLOP/s": "failed: RuntimeError: no"}, card, 1)
    gpu.append(
        file, "tests", {"tests": "12 passed in 3s", "waits in a pass": 0, "tokens": {"TF32": "1 of 77"}}, card, 1
    )
    gpu.append(file, "ours", gpu.ours(card, lambda: FakeSubject(card)), card, 1)
    gpu.append(file, "variants", gpu.variants(card, lambda compiled=False: FakeSubject(card)), card, 1)
    rivals = {
        "(a) the program as shipped": {"1": 0.3, "of": "their procedure"},
        "(b) its networks in fp32": {"1": 0.04, "8": 0.32},
        "(c) its networks in fp16 at their best": {"8": {"seconds": 0.16, "way": "NCHW", "all": {}}},
    }
    gpu.append(file, "rivals", rivals, card, 1)
    kernel = {"kernel": "conv", "ms": 4.0, "calls": 3, "share": 0.5}
    figures = {"1": {"kernels": [kernel], "ms": 8.0, "launches": 900, "cudaStreamSynchronize": 0}, "8": "skipped"}
    text = markdown(gpu.append(file, "profile", figures, card, 1))
    assert "| fp16, TFLOP/s | 700 |" in text
    assert "failed: RuntimeError: no" in text
    assert "- tokens TF32: 1 of 77" in text
    share = 4.63 / 0.013 / 700
    assert f"| 8 | 13.0 | 15.0 | {share:.0%} | 2.40 | 3.00 | nan |" in text
    assert "| (a) the program as shipped | 1 | 300.0 | 15.0 | 20.00 | their procedure |" in text
    assert "| (c) its networks in fp16 at their best | 8 | 20.0 | 13.0 | 1.54 | NCHW |" in text
    assert "| NCHW throughout | 13.0 (+0%) | 13.0 (+0%) |" in text
    assert "1 at once: 8.0 ms in 900 kernels, 0 times cudaStreamSynchronize." in text


def test_without_a_card_it_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--part", "ours"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main()
    assert "no CUDA device" in capsys.readouterr().err
