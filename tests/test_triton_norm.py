"""The fused GroupNorm: right in Triton's interpreter, without spills in what its compiler makes for cards that are not
here, and harmless where Triton is absent or broken."""

import importlib.util
import json
import logging
import os
import re
import subprocess
import sys
import threading

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from norm_cases import CASES, DTYPES, SUMS, errors
from torch._subclasses.fake_tensor import FakeTensorMode

from osdface_core.kernels import triton_norm

NEEDS_TRITON = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="no Triton on this system")
NVIDIA = ((80, "fp16"), (80, "bf16"), (80, "fp32"), (86, "fp16"), (89, "fp16"), (90, "fp16"), (90, "bf16"))
AMD = (("gfx942", 64), ("gfx1100", 32))
SHAPES = [
    (8, 128, 512, 512),
    (1, 256, 256, 256),
    (1, 64, 512, 512),
    (8, 320, 64, 64),
    (8, 640, 32, 32),
    (8, 1280, 8, 8),
]
"""Of images that the networks norm, in 32 groups."""
POINTERS = {torch.float16: "*fp16", torch.bfloat16: "*bf16", torch.float32: "*fp32"}
ROUNDED = {"fp32": 1e-6, "fp16": 2**-11, "bf16": 2**-8}
"""What storing a result costs, of 1 + |y|."""


@pytest.fixture(scope="module")
def interpreted():
    """The errors of all cases, computed by the kernels' own code without a card."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, "-W", "ignore", str(ROOT / "tests" / "norm_cases.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


@NEEDS_TRITON
@pytest.mark.parametrize("case", [*CASES, *(f"sum of {shape}" for shape in SUMS)])
def test_kernels_agree_with_float64(interpreted, case):
    """Triton's interpreter cuts bf16 off, where a card rounds to nearest (the test of what is compiled looks)."""
    far = 1000 * 2**-23 if "far from zero" in case else 0  # so finely float32 holds a mean of 1000
    for precision, rounded in ROUNDED.items():
        allowed = rounded * (2 if precision == "bf16" else 1) + far + 1e-6
        assert interpreted[case][precision] <= allowed, precision


@NEEDS_TRITON
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_kernels_agree_with_float64_on_a_gpu():
    for case, found in errors("cuda").items():
        far = 1000 * 2**-23 if "far from zero" in case else 0
        assert all(found[precision] <= ROUNDED[precision] + far + 1e-6 for precision in DTYPES), case
    assert not triton_norm.broken.is_set()


class Launches:
    """In the place of the kernels: keeps what they were called with."""

    def __init__(self):
        self.seen = []

    def __getattr__(self, name):
        return Kernel(name, self.seen)


class Kernel:
    def __init__(self, name, seen):
        self.name, self.seen = name, seen

    def __getitem__(self, grid):
        return lambda *args: self.seen.append((self.name, grid, args))


def launches(shape, dtype, shift=None):
    found = Launches()
    x, weight = torch.empty(shape, dtype=dtype, device="meta"), torch.empty(shape[1], dtype=dtype, device="meta")
    triton_norm.launch_norm(found, x, x, weight, weight, shift, 32, 1e-6, True)
    return found.seen


def kernels_of(shape, dtype):
    """All that an image can be put through."""
    found = Launches()
    x, bias = torch.empty(shape, dtype=dtype, device="meta"), torch.empty(shape[1], dtype=dtype, device="meta")
    triton_norm.launch_add(found, x, x, bias)
    return found.seen + launches(shape, dtype, shift=bias)


def compiled(name, args, target):
    """What Triton makes of a kernel for such arguments, as its own launcher would have it."""
    import triton
    from triton.compiler import ASTSource

    kernel = getattr(triton_norm.kernels(), name)
    signature, constants, aligned = {}, {}, {}
    for parameter, value in zip(kernel.params, args, strict=True):
        if parameter.is_constexpr or value is None:
            signature[parameter.name], constants[(parameter.num,)] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[parameter.name], aligned[(parameter.num,)] = POINTERS[value.dtype], [["tt.divisibility", 16]]
        else:
            signature[parameter.name] = "fp32" if isinstance(value, float) else "i32"
            if not parameter.do_not_specialize and isinstance(value, int) and value % 16 == 0:
                aligned[(parameter.num,)] = [["tt.divisibility", 16]]
    return triton.compile(ASTSource(kernel, signature, constants, aligned), target=target)


@NEEDS_TRITON
@pytest.mark.parametrize(("architecture", "precision"), NVIDIA)
def test_compiled_for_nvidia_nothing_spills_and_halves_are_rounded_to_nearest(architecture, precision, tmp_path):
    import triton
    from triton.backends.compiler import GPUTarget

    for shape in SHAPES:
        for name, _, args in kernels_of(shape, DTYPES[precision]):
            made = compiled(name, args, GPUTarget("cuda", architecture, 32))
            cubin, text = tmp_path / "kernel.cubin", made.asm["ptx"]
            cubin.write_bytes(made.asm["cubin"])
            tool = triton.knobs.nvidia.cuobjdump.path
            usage = subprocess.run([tool, "-res-usage", cubin], capture_output=True, text=True, check=True).stdout
            figures = {key: int(value) for key, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", usage)}
            assert figures["REG"] <= 80, (name, shape, figures)
            assert figures["STACK"] == figures["LOCAL"] == 0, (name, shape, figures)
            assert ".local" not in text
            assert set(re.findall(r"cvt\.(\w+)\.(?:sat\w*\.)?b?f16(?:x2)?\.f32", text)) <= {"rn"}
            if name in ("part_moments", "apply", "add"):  # 16 bytes at a time
                assert "ld.global.v4.b32" in text, (name, shape)


@NEEDS_TRITON
@pytest.mark.parametrize(("architecture", "warp"), AMD)
def test_compiled_for_amd_nothing_spills(architecture, warp):
    from triton.backends.compiler import GPUTarget

    for shape in SHAPES:
        for name, _, args in kernels_of(shape, torch.float16):
            text = compiled(name, args, GPUTarget("hip", architecture, warp)).asm["amdgcn"]
            spilled = re.findall(r"(?:spill_count|private_segment_fixed_size): +(\d+)", text)
            assert spilled
            assert set(spilled) == {"0"}, name


@pytest.mark.parametrize("count", [1, 8])
def test_one_image_keeps_a_large_gpu_as_busy_as_many(count):
    (_, summing, _), _, (_, writing, _) = launches((count, 512, 128, 128), torch.float16)
    assert summing[0] * summing[1] * summing[2] >= 500
    assert writing[0] * writing[1] * writing[2] >= 500


def test_more_than_two_to_the_31_elements_are_counted_right():
    (_, grid, args), *_ = launches((1, 512, 4096, 4096), torch.float16)
    parts, rows = grid[0], args[4]
    assert parts * rows >= 4096 * 4096 > (parts - 1) * rows
    assert parts * rows < 2**31


@pytest.fixture
def image():
    return torch.randn(2, 8, 5, 3, generator=torch.Generator().manual_seed(0))


WEIGHT, BIAS = torch.linspace(0.5, 2, 8), torch.linspace(-1, 1, 8)


def by_pytorch(x):
    return F.silu(F.group_norm(x, 4, WEIGHT, BIAS, 1e-6))


def norm(x, **options):
    return triton_norm.group_norm(x, WEIGHT, BIAS, 4, 1e-6, silu=True, **options)


def test_without_triton_pytorch_norms(image, monkeypatch, caplog):
    monkeypatch.setattr(triton_norm, "kernels", lambda: None)
    with FakeTensorMode():
        assert not triton_norm.usable(torch.empty(1, 8, 2, 2, device="cuda"))
    expected = by_pytorch(image)
    assert torch.equal(norm(image), expected)
    assert norm(image, out=image) is image
    assert torch.equal(image, expected)
    assert not caplog.records
    shifted = image + BIAS[:, None, None]
    torch.testing.assert_close(norm(image, shift=BIAS), by_pytorch(shifted))
    torch.testing.assert_close(triton_norm.add_(image.clone(), image, BIAS), shifted + image)


def test_importing_it_needs_no_triton():
    script = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch; from osdface_core.kernels import triton_norm as t\n"
        "x = torch.randn(1, 4, 3, 3); one = torch.ones(4)\n"
        "print(t.kernels(), t.usable(x), t.group_norm(x, one, one, 2, 1e-6, silu=False).shape)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "None False torch.Size([1, 4, 3, 3])"


class Broken:
    """Kernels whose compiler is missing."""

    def __init__(self, error):
        self.error = error

    def __getattr__(self, name):
        return self

    def __getitem__(self, grid):
        return self

    def __call__(self, *args):
        raise self.error


@pytest.fixture
def unbroken(monkeypatch):
    monkeypatch.setattr(triton_norm, "broken", threading.Event())


def test_a_broken_triton_is_told_of_once_and_pytorch_norms(image, monkeypatch, caplog, unbroken):
    kernels = Broken(RuntimeError("Failed to find C compiler."))
    monkeypatch.setattr(triton_norm, "kernels", lambda: kernels)
    made = []
    threads = [threading.Thread(target=lambda: made.append(norm(image))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert all(torch.equal(one, by_pytorch(image)) for one in made)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "Failed to find C compiler." in caplog.text
    with FakeTensorMode():
        assert not triton_norm.usable(torch.empty(1, 8, 2, 2, device="cuda"))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), RuntimeError("Triton Error [CUDA]: out of memory")])
def test_running_out_of_memory_stays_what_it_is(image, monkeypatch, unbroken, error):
    monkeypatch.setattr(triton_norm, "kernels", lambda: Broken(error))
    with pytest.raises(torch.OutOfMemoryError):
        norm(image)
    assert not triton_norm.broken.is_set()


def test_gradients_are_pytorchs(image, monkeypatch):
    monkeypatch.setattr(triton_norm, "kernels", lambda: Broken(AssertionError("no kernel has a gradient")))
    image.requires_grad_()
    norm(image).sum().backward()
    assert image.grad.abs().sum() > 0


def test_what_it_takes(monkeypatch, unbroken):
    monkeypatch.setattr(triton_norm, "kernels", Launches)
    assert not triton_norm.usable(torch.empty(1, 8, 2, 2))
    with FakeTensorMode():
        x = torch.empty(1, 8, 2, 2, device="cuda")
        assert triton_norm.usable(x)
        assert triton_norm.usable(x.half())
        assert triton_norm.usable(x.bfloat16())
        assert not triton_norm.usable(x.double())
        assert not triton_norm.usable(torch.empty(8, 2, 2, device="cuda"))
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
        assert not triton_norm.usable(x)
