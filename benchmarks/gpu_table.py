"""The tables of what benchmarks/gpu.py has found."""

from typing import Any

Figures = dict[str, Any]
FACE_TFLOP = 4.63
"""Arithmetic of one face at 512x512 as the authors' networks do it; less of it is no slower arithmetic."""


def markdown(records: list[Figures]) -> str:
    """Tables of the last record of each part. Times are milliseconds a face."""
    last = {record["part"]: record["figures"] for record in records}
    titles = {part: table for part, table in TABLES.items() if part in last}
    cards = sorted({record["card"] for record in records})
    lines = ["; ".join(cards) + "."]
    for part, table in titles.items():
        lines += ["", f"### {part.capitalize()}", "", *table(last)]
    return "\n".join(lines) + "\n"


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def heading(*cells: str) -> list[str]:
    return [row(*cells), "|---" * len(cells) + "|"]


def number(value: Any, digits: int = 1) -> str:
    """A figure, or what was said in its place."""
    return f"{value:.{digits}f}" if isinstance(value, int | float) else str(value)


def ms(seconds: Any, faces: int | str = 1) -> str:
    return number(seconds * 1000 / int(faces)) if isinstance(seconds, float) else str(seconds)


def ceilings(last: Figures) -> list[str]:
    return heading("ceiling", "reached") + [row(name, number(value, 0)) for name, value in last["ceilings"].items()]


def tests(last: Figures) -> list[str]:
    lines = []
    for name, found in last["tests"].items():
        for line in found.items() if isinstance(found, dict) else [("", found)]:
            lines.append(f"- {name}{' ' if line[0] else ''}{line[0]}: {line[1]}")
    return lines


def ours(last: Figures) -> list[str]:
    ceiling = last.get("ceilings", {}).get("fp16, TFLOP/s")
    lines = heading("faces", "ms a face", "with copies", "of the ceiling", "GB allocated", "reserved", "nvidia-smi")
    for count, found in last["ours"].items():
        if not isinstance(found, dict):
            lines.append(row(count, found, *[""] * 5))
            continue
        memory = [number(found[key], 2) for key in ("allocated", "reserved", "nvidia-smi")]
        if count == "loaded":
            lines.append(row("none, loaded", "", "", "", *memory))
            continue
        seconds = found["seconds"] / int(count)
        share = f"{FACE_TFLOP / seconds / ceiling:.0%}" if isinstance(ceiling, float) else ""
        lines.append(row(count, ms(found["seconds"], count), ms(found["with copies"], count), share, *memory))
    return lines


def variants(last: Figures) -> list[str]:
    base = last["variants"]["as it is"]
    counts = list(base) if isinstance(base, dict) else []
    lines = heading("variant", *(f"{count} at once, ms a face (against as it is)" for count in counts))
    for name, found in last["variants"].items():
        if isinstance(found, dict):
            cells = [f"{ms(found[n], n)} ({found[n] / base[n] - 1:+.0%})" for n in counts if n in found]
        else:
            cells = [found]
        lines.append(row(name, *cells, *[""] * (len(counts) - len(cells))))
    return lines


def rivals(last: Figures) -> list[str]:
    """Ours beside each at the same number of faces; above 1 is in our favour."""
    lines = heading("rival", "faces", "ms a face", "ours", "ratio", "")
    for name, found in last["rivals"].items():
        if not isinstance(found, dict):
            lines.append(row(name, "", found, "", "", ""))
            continue
        for count, value in found.items():
            if not count.isdigit():
                continue
            seconds = value["seconds"] if isinstance(value, dict) else value
            remark = value["way"] if isinstance(value, dict) else found.get("of", "")
            own = last.get("ours", {}).get(count)
            # the program as shipped begins and ends in main memory, and so do we beside it
            mine = own["with copies" if name.startswith("(a)") else "seconds"] if isinstance(own, dict) else None
            ratio = number(seconds / mine, 2) if mine else ""
            lines.append(row(name, count, ms(seconds, count), ms(mine, count) if mine else "", ratio, remark))
    return lines


def profile(last: Figures) -> list[str]:
    lines: list[str] = []
    for count, found in last["profile"].items():
        if not isinstance(found, dict):
            lines += [f"{count} at once: {found}", ""]
            continue
        lines.append(
            f"{count} at once: {found['ms']:.1f} ms in {found['launches']} kernels, "
            f"{found['cudaStreamSynchronize']} times cudaStreamSynchronize."
        )
        lines += ["", *heading("kernel", "ms", "calls", "share")]
        lines += [row(k["kernel"][:80], number(k["ms"], 2), k["calls"], f"{k['share']:.1%}") for k in found["kernels"]]
        lines.append("")
    return lines[:-1]


TABLES = {
    "ceilings": ceilings,
    "tests": tests,
    "ours": ours,
    "variants": variants,
    "rivals": rivals,
    "profile": profile,
}
