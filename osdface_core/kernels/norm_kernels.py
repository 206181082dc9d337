"""GroupNorm with SiLU, and sums, in Triton. Importing this needs Triton: `triton_norm` does, where there is one.

An image is a table of pixels by channels, as channels-last memory has it. Sums are float32 and merged as means and
squared deviations from them (Welford; Chan, Golub and LeVeque), so a large mean takes no digits from the variance.
Nothing depends on the order in which programs run. Offsets within a tile are 32 bits wide, those of tiles 64.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
# ruff: noqa: N803  constants of compilation in capitals, as Triton's own kernels have them

import triton
import triton.language as tl

SIZES = ["pixels", "depth", "rows", "parts"]
"""Numbers of which kernels are not to be compiled anew."""


@triton.jit
def moments(x, first, end, channels, c, there, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Of pixels first..end of an image, taken ROWS at a time: for every place of a tile, how many pixels fell on it,
    their mean, and their squared deviations from that."""
    r = tl.arange(0, ROWS)
    offsets = r[:, None] * channels + c[None, :]
    mean = tl.zeros([ROWS, COLUMNS], tl.float32)
    spread = tl.zeros([ROWS, COLUMNS], tl.float32)
    taken = 0.0
    for start in range(first, end, ROWS):
        mask = (start + r < end)[:, None] & there[None, :]
        v = tl.load(x + tl.cast(start, tl.int64) * channels + offsets, mask, 0.0).to(tl.float32)
        taken += 1.0
        away = tl.where(mask, v - mean, 0.0)
        mean += away * (1.0 / taken)
        spread += away * (v - mean)
    count = tl.maximum((end - first - r + ROWS - 1) // ROWS, 0).to(tl.float32)
    return tl.where(there[None, :], count[:, None], 0.0), mean, spread


@triton.jit(do_not_specialize=SIZES)
def part_moments(x, work, pixels, channels, rows, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Mean and squared deviations of every channel in one part, `rows` pixels, of an image."""
    part, parts, image = tl.program_id(0), tl.num_programs(0), tl.program_id(2)
    c = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = c < channels
    first = part * rows
    end = tl.minimum(first + rows, pixels)
    x += image.to(tl.int64) * pixels * channels
    count, mean, spread = moments(x, first, end, channels, c, there, ROWS, COLUMNS)
    whole = tl.div_rn(tl.sum(mean * count, 0), (end - first).to(tl.float32))
    away = mean - whole[None, :]
    work += (image * (parts + 1) + part).to(tl.int64) * 2 * channels
    tl.store(work + c, whole, there)
    tl.store(work + channels + c, tl.sum(spread + count * away * away, 0), there)


@triton.jit
def shift_of(shift, c, there, COLUMNS: tl.constexpr):
    """What each channel is to be moved by before the norm."""
    moved = tl.zeros([COLUMNS], tl.float32)
    if shift is not None:
        moved += tl.load(shift + c, there, 0.0).to(tl.float32)
    return moved


@triton.jit(do_not_specialize=SIZES)
def mean_and_scale(
    work, weight, shift, pixels, channels, depth, rows, parts, eps, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """For every channel of a group, out of the moments of all parts: the group's mean, and what deviations from it are
    multiplied with. Put behind those moments. Where there is a shift, it is taken off the mean."""
    group, image = tl.program_id(0), tl.program_id(1)
    d = tl.arange(0, COLUMNS)
    there = d < depth
    c = group * depth + d
    work += image.to(tl.int64) * (parts + 1) * 2 * channels
    size = pixels.to(tl.float32) * depth
    moved = shift_of(shift, c, there, COLUMNS)
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(0, parts, ROWS):
        s = start + tl.arange(0, ROWS)
        mask = (s < parts)[:, None] & there[None, :]
        count = tl.minimum(pixels - s * rows, rows).to(tl.float32)
        own = tl.load(work + s[:, None] * 2 * channels + c[None, :], mask, 0.0) + moved[None, :]
        total += tl.where(mask, count[:, None] * own, 0.0)
    mean = tl.div_rn(tl.sum(total), size)
    spread = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(0, parts, ROWS):
        s = start + tl.arange(0, ROWS)
        mask = (s < parts)[:, None] & there[None, :]
        count = tl.minimum(pixels - s * rows, rows).to(tl.float32)
        at = work + s[:, None] * 2 * channels + c[None, :]
        away = tl.where(mask, tl.load(at, mask, 0.0) + moved[None, :] - mean, 0.0)
        spread += tl.load(at + channels, mask, 0.0) + count[:, None] * away * away
    scale = tl.load(weight + c, there, 0.0).to(tl.float32) / tl.sqrt(tl.sum(spread) / size + eps)
    work += parts * 2 * channels
    tl.store(work + c, mean - moved, there)
    tl.store(work + channels + c, scale, there)


@triton.jit
def change(v, mean, scale, bias, SILU: tl.constexpr):
    """What an element becomes."""
    v = (v - mean) * scale + bias
    if SILU:
        v = v / (1.0 + tl.exp(-v))
    return v


@triton.jit(do_not_specialize=SIZES)
def apply(x, y, work, bias, pixels, channels, parts, SILU: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Norm a tile of an image."""
    image = tl.program_id(2)
    start = tl.program_id(0) * ROWS
    r = tl.arange(0, ROWS)
    c = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = c < channels
    mask = (start + r < pixels)[:, None] & there[None, :]
    work += (image * (parts + 1) + parts).to(tl.int64) * 2 * channels
    mean, scale = tl.load(work + c, there, 0.0), tl.load(work + channels + c, there, 0.0)
    add = tl.load(bias + c, there, 0.0).to(tl.float32)
    tile = (image.to(tl.int64) * pixels + start) * channels
    offsets = r[:, None] * channels + c[None, :]
    v = tl.load(x + tile + offsets, mask, 0.0).to(tl.float32)
    v = change(v, mean[None, :], scale[None, :], add[None, :], SILU)
    tl.store(y + tile + offsets, v.to(y.dtype.element_ty), mask)


@triton.jit(do_not_specialize=SIZES)
def small(
    x,
    y,
    weight,
    bias,
    shift,
    pixels,
    channels,
    eps,
    SILU: tl.constexpr,
    DEPTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """All of it for one group of one image, read twice. With its depth known, several channels are read at once."""
    group, image = tl.program_id(0), tl.program_id(1)
    d = tl.arange(0, COLUMNS)
    there = d < DEPTH
    c = group * DEPTH + d
    first = image.to(tl.int64) * pixels * channels
    x += first
    y += first
    count, mean, spread = moments(x, 0, pixels, channels, c, there, ROWS, COLUMNS)
    moved = shift_of(shift, c, there, COLUMNS)
    mean += moved[None, :]
    size = pixels.to(tl.float32) * DEPTH
    whole = tl.div_rn(tl.sum(mean * count), size)
    away = mean - whole
    variance = tl.sum(spread + count * away * away) / size
    scale = tl.load(weight + c, there, 0.0).to(tl.float32) / tl.sqrt(variance + eps)
    add = tl.load(bias + c, there, 0.0).to(tl.float32)
    r = tl.arange(0, ROWS)
    offsets = r[:, None] * channels + c[None, :]
    for start in range(0, pixels, ROWS):
        mask = (start + r < pixels)[:, None] & there[None, :]
        tile = tl.cast(start, tl.int64) * channels
        v = tl.load(x + tile + offsets, mask, 0.0).to(tl.float32)
        v = change(v, (whole - moved)[None, :], scale[None, :], add[None, :], SILU)
        tl.store(y + tile + offsets, v.to(y.dtype.element_ty), mask)


@triton.jit(do_not_specialize=SIZES)
def add(y, x, bias, pixels, channels, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """y + x + bias, written over y: a tile of pixels, whichever image they belong to."""
    start = tl.program_id(0) * ROWS
    r = tl.arange(0, ROWS)
    c = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = c < channels
    mask = (start + r < pixels)[:, None] & there[None, :]
    tile = start.to(tl.int64) * channels
    offsets = r[:, None] * channels + c[None, :]
    v = tl.load(y + tile + offsets, mask, 0.0).to(tl.float32) + tl.load(x + tile + offsets, mask, 0.0).to(tl.float32)
    v += tl.load(bias + c, there, 0.0).to(tl.float32)[None, :]
    tl.store(y + tile + offsets, v.to(y.dtype.element_ty), mask)
