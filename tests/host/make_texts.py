"""Make what says of the nodes what their schemas say, from the schemas:  python -m host.make_texts

That is locales/*/nodeDefs.json, the categories in main.json, and the table of inputs in every help page. Translations
are written by hand, in locales/LANGUAGE/texts.json: every English text once, and what it is in that language.
"""

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .client import ROOT, furnish
from .messages import MESSAGES

LANGUAGES = ("ja", "zh")
OF_FILES = {"weights", "base", "decoder", "detector", "embedder", "parser", "restorer"}
"""Inputs that list what is on the machine."""
TABLE = re.compile(r"(?<=\n## Inputs\n\n)(?:\|.*\n)+")
HEAD = "| name | what to decide | type | default | range |\n|---|---|---|---|---|\n"

Info = dict[str, Any]


def inputs_of(about: Info) -> dict[str, Any]:
    """A node's inputs in their order, those that are needed first."""
    return {name: slot for group in ("required", "optional") for name, slot in about["input"].get(group, {}).items()}


def node_texts(about: Info, say: Callable[[str], str]) -> Info:
    """What ComfyUI's nodeDefs.json has of a node, every text as `say` puts it."""
    inputs = {
        name: {"name": say(name.replace("_", " ")), "tooltip": say(options["tooltip"])}
        for name, (_, options) in inputs_of(about).items()
    }
    return {
        "display_name": say(about["display_name"]),
        "description": say(about["description"]),
        "inputs": inputs,
        "outputs": {str(number): {"name": say(name)} for number, name in enumerate(about["output_name"])},
    }


def ours(info: Info) -> Info:
    return {name: about for name, about in info.items() if name.startswith("OSDFace")}


def english(info: Info) -> list[str]:
    """Every text to translate, once, in the order of the nodes."""
    said: dict[str, None] = {}

    def say(text: str) -> str:
        said[text] = None
        return text

    for about in ours(info).values():
        for part in about["category"].split("/"):
            say(part)
        node_texts(about, say)
        for text in values_of(about):
            say(text)
    for text in MESSAGES:
        say(text)
    return list(said)


def values_of(about: Info) -> Iterator[str]:
    """What can be chosen in a node, where the choices are words of ours."""
    for name, (_, options) in inputs_of(about).items():
        if name not in OF_FILES | {"precision", "encode_precision", "decode_precision"}:
            yield from options.get("options", ())


def untranslated(info: Info, language: str) -> list[str]:
    """What a translator has to do: texts that are missing, and those that nothing says any more."""
    wanted, known = english(info), translations(language)
    missing = [f"locales/{language}/texts.json lacks {text!r}" for text in wanted if not known.get(text, "").strip()]
    surplus = [
        f"locales/{language}/texts.json has {text!r}, which nothing says" for text in known if text not in wanted
    ]
    return missing + surplus


def translations(language: str) -> dict[str, str]:
    """The English texts and what they are in a language."""
    found: dict[str, str] = json.loads((ROOT / "locales" / language / "texts.json").read_text(encoding="utf-8"))
    return found


def row(name: str, kind: str, options: Info, optional: bool) -> str:
    """An input's line in the table of its help page."""
    socket = "default" not in options or options.get("forceInput")
    marks = ["optional"] * (optional and bool(socket)) + ["advanced"] * bool(options.get("advanced"))
    cells = [f"`{name.replace('_', ' ')}`", options["tooltip"].replace("|", "\\|"), ", ".join([kind, *marks])]
    return (
        "| "
        + " | ".join([*cells, *(("", "") if socket else (shown(options["default"]), span(name, options)))])
        + " |\n"
    )


def span(name: str, options: Info) -> str:
    """What may be chosen, in words."""
    if "min" in options:
        return f"{shown(options['min'])} to {shown(options['max'])}"
    return "" if name in OF_FILES else ", ".join(map(shown, options.get("options", ())))


def shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value}`" if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def table(about: Info) -> str:
    optional = about["input"].get("optional", {})
    return HEAD + "".join(row(name, slot[0], slot[1], name in optional) for name, slot in inputs_of(about).items())


def made(info: Info) -> Iterator[tuple[Path, str]]:
    """Every file that is made here, and what it has to be; in English where nobody has translated a text."""
    nodes = ours(info)
    for language in ("en", *LANGUAGES):
        folder = ROOT / "locales" / language
        known = {} if language == "en" else translations(language)

        def say(text: str, known: dict[str, str] = known) -> str:
            return known.get(text, text)

        main = json.loads((folder / "main.json").read_text(encoding="utf-8"))
        parts = dict.fromkeys(part for about in nodes.values() for part in about["category"].split("/"))
        main["nodeCategories"] = {part: say(part) for part in parts}
        if known:
            values = dict.fromkeys(text for about in nodes.values() for text in values_of(about))
            main["OSDFaceTexts"] = {text: say(text) for text in (*values, *MESSAGES)}
        yield folder / "main.json", as_json(main)
        yield folder / "nodeDefs.json", as_json({name: node_texts(about, say) for name, about in nodes.items()})
    for name, about in nodes.items():
        page = ROOT / "web" / "docs" / f"{name}.md"
        before, after = TABLE.split(page.read_text(encoding="utf-8"), maxsplit=1)
        yield page, before + table(about) + after


def as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    from .server import Host

    base = tempfile.mkdtemp()
    furnish(Path(base), None)
    info = Host(base, ROOT).object_info()
    for path, text in made(info):
        path.write_text(text, encoding="utf-8", newline="\n")
    problems = [problem for language in LANGUAGES for problem in untranslated(info, language)]
    sys.exit("\n".join(problems) or 0)
