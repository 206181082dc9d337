"""A page to look at: figures, tables, and pictures before and after under a slider. One file, which needs no other."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path

import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .names import printable

STYLE = """
:root { color-scheme: light dark; --ink: #1a1d21; --paper: #fafaf8; --faint: #6b7078; --line: #d9d9d4; --mark: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e3; --paper: #17191c; --faint: #9a9fa7; --line: #34383d; --mark: #ff8a80 }
}
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem; margin: 0 0 1rem } h2 { font-size: 1.1rem; margin: 2.5rem 0 .75rem }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1rem; margin: 0 }
dt { color: var(--faint); font-size: .85rem } dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line) }
.long { overflow-wrap: anywhere }
th { color: var(--faint); font-weight: normal; font-size: .85rem } td { font-variant-numeric: tabular-nums }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1.5rem }
figure { margin: 0 } figcaption { font-size: .85rem; overflow-wrap: anywhere }
figcaption span { display: block; color: var(--faint) }
.pair { --at: 50%; position: relative; border-radius: 4px; overflow: hidden; background: var(--line) }
.pair img { display: block; width: 100% }
.pair img + img { position: absolute; inset: 0; height: 100%; clip-path: inset(0 0 0 var(--at)) }
.pair::after { content: ""; position: absolute; inset: 0 auto 0 var(--at); width: 2px; margin-left: -1px;
  background: #fff; box-shadow: 0 0 3px #000; pointer-events: none }
.pair b { position: absolute; bottom: .4rem; font: .75rem system-ui, sans-serif; color: #fff; background: #0008;
  border-radius: 3px; padding: 0 .4em; pointer-events: none } .pair b:nth-of-type(1) { left: .4rem }
.pair b:nth-of-type(2) { right: .4rem }
.pair input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize }
.pair:focus-within { outline: 2px solid var(--mark) }
"""
LONG = 24
"""Letters from which on a word in a table may be broken anywhere, so that a path does not make it wide."""
SLIDE = "this.parentNode.style.setProperty('--at', this.value + '%')"


@dataclass(frozen=True)
class Pair:
    """A picture before and after, each a JPEG file; both of one size."""

    name: str
    before: bytes
    after: bytes
    says: str = ""


@dataclass(frozen=True)
class Table:
    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""


def page(title: str, figures: dict[str, object], tables: Iterable[Table], pairs: Iterable[Pair]) -> Iterator[str]:
    """An HTML page, in pieces. figures: what is said first, in large letters, by its name."""
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{text(title)}</title><style>{STYLE}</style></head><body>\n<h1>{text(title)}</h1>\n<dl>"
    for name, value in figures.items():
        yield f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>"
    yield "</dl>\n"
    for table in tables:
        if table.rows:
            yield from of_table(table)
    heading = "<h2>Before and after</h2>\n<div class='pairs'>\n"
    for pair in pairs:
        yield heading
        yield of_pair(pair)
        heading = ""
    yield "</body></html>\n" if heading else "</div></body></html>\n"


def of_table(table: Table) -> Iterator[str]:
    yield f"<h2>{text(table.name)}</h2>\n<div class='wide'><table><tr>"
    yield "".join(f"<th>{text(column)}</th>" for column in table.columns) + "</tr>\n"
    for row in table.rows:
        yield "<tr>" + "".join(map(of_cell, row)) + "</tr>\n"
    yield f"</table></div>{f'<p>{text(table.note)}</p>' if table.note else ''}\n"


def of_cell(value: object) -> str:
    """A cell of a table. A text between two asterisks each is bold, as in Markdown."""
    words = str(value)
    kind = ' class="long"' if any(len(word) > LONG for word in words.split()) else ""
    if words.startswith("**") and words.endswith("**"):
        return f"<td{kind}><b>{text(words[2:-2])}</b></td>"
    return f"<td{kind}>{text(value)}</td>"


def of_pair(pair: Pair) -> str:
    coded = (base64.b64encode(file).decode("ascii") for file in (pair.before, pair.after))
    before, after = (f"data:image/jpeg;base64,{data}" for data in coded)
    name = text(pair.name)
    return (
        f'<figure><div class="pair"><img src="{before}" alt="{name}, before" loading="lazy">'
        f'<img src="{after}" alt="{name}, after" loading="lazy"><b>before</b><b>after</b>'
        f'<input type="range" min="0" max="100" value="50" step="0.5" aria-label="how much of before" '
        f'oninput="{SLIDE}"></div><figcaption>{name}<span>{text(pair.says)}</span></figcaption></figure>\n'
    )


def text(value: object) -> str:
    """A value as it can stand in a page for others to see: whatever it holds, it is text there, and nobody's home."""
    words = f"{value:.3g}" if isinstance(value, float) else str(value)
    return escape(printable(words.replace(str(Path.home()), "~")))


def thumbnail(pixels: Tensor, size: tuple[int, int]) -> bytes:
    """An image [1,3,H,W], 0..1, at a height and width, as a JPEG file."""
    small = F.interpolate(pixels, size, mode="bicubic", antialias=True).clamp(0, 1)
    file = BytesIO()
    Image.fromarray((small[0].permute(1, 2, 0) * 255).round().byte().numpy()).save(file, "JPEG", quality=88)
    return file.getvalue()
