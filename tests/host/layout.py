"""Where the nodes of a template stand: in columns, so that no link runs behind a node."""

import itertools
import random
from typing import NamedTuple

ABOVE, GAP, BETWEEN = 30, 70, 110
"""A node's title, and the space between nodes below and beside one another."""
SHIFTS = (0, 0, 40, 80, 120, 200, 300, 420, 600)
TRIES = 12000


class Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float


Point = tuple[float, float]


def slot(node: dict, number: int, output: bool) -> Point:
    """Where a link ends, by a node of the workflow file. An input with a widget stands beside it, below the others."""
    left, top = node["pos"]
    if output:
        return left + node["size"][0], top + 14 + 20 * number
    plain, beside = (
        [n for n, item in enumerate(node["inputs"]) if ("widget" in item) is kind] for kind in (False, True)
    )
    if number in plain:
        return left, top + 14 + 20 * plain.index(number)
    return left, top + 20 * max(len(plain), len(node["outputs"])) + 18 + 24 * beside.index(number)


def box(node: dict, margin: float = 6) -> Box:
    """What a node covers, its title and a margin around it included."""
    (left, top), (width, height) = node["pos"], node["size"]
    return Box(left - margin, top - ABOVE - margin, left + width + margin, top + height + margin)


def crosses(start: Point, end: Point, box: Box) -> bool:
    """Whether the straight line between two points meets a box."""
    low, high = 0.0, 1.0
    for (a, b), (least, most) in zip(
        zip(start, end, strict=True), ((box.left, box.right), (box.top, box.bottom)), strict=True
    ):
        if a == b:
            if not least < a < most:
                return False
            continue
        first, last = sorted(((least - a) / (b - a), (most - a) / (b - a)))
        low, high = max(low, first), min(high, last)
    return low < high


def hidden_links(workflow: dict) -> list[tuple[int, int]]:
    """The links that run behind a node, and that node's id."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    found = []
    for link, source, out, target, into, _ in workflow["links"]:
        start, end = slot(nodes[source], out, True), slot(nodes[target], into, False)
        others = (node for key, node in nodes.items() if key not in (source, target))
        found += [(link, node["id"]) for node in others if crosses(start, end, box(node))]
    return found


def overlaps(workflow: dict) -> list[tuple[int, int]]:
    """The nodes, by their ids, that stand on one another."""
    pairs = itertools.combinations(workflow["nodes"], 2)
    boxes = [(a["id"], b["id"], box(a), box(b)) for a, b in pairs]
    return [
        (a, b)
        for a, b, x, y in boxes
        if x.left < y.right and y.left < x.right and x.top < y.bottom and y.top < x.bottom
    ]


def place(workflow: dict, columns: list[list[int]]) -> None:
    """Give the nodes of a workflow positions, in these columns of ids, as low as can be.

    Raises ValueError where no arrangement was found that hides no link.
    """
    nodes = {node["id"]: node for node in workflow["nodes"]}
    chance = random.Random(0)
    order = [[(key, 0) for key in column] for column in columns]
    best = cost(workflow, nodes, order)
    for _ in range(TRIES):
        tried = list(order)
        for number in chance.sample(range(len(order)), chance.choice((1, 1, 2))):
            column = chance.sample(order[number], len(order[number])) if chance.random() < 0.3 else order[number]
            tried[number] = [(key, chance.choice(SHIFTS) if chance.random() < 0.6 else shift) for key, shift in column]
        found = cost(workflow, nodes, tried)
        if found <= best:
            best, order = found, tried
    if cost(workflow, nodes, order)[0]:
        raise ValueError(f"links run behind nodes: {hidden_links(workflow)}")


def cost(workflow: dict, nodes: dict[int, dict], columns: list[list[tuple[int, int]]]) -> tuple[int, float]:
    """How many links are hidden and how tall the graph is, its columns of ids and spaces above them laid out."""
    left = 0.0
    for column in columns:
        top = 0.0
        for key, shift in column:
            nodes[key]["pos"] = [left, top + shift]
            top += shift + nodes[key]["size"][1] + ABOVE + GAP
        left += max(nodes[key]["size"][0] for key, _ in column) + BETWEEN
    tall = max(node["pos"][1] + node["size"][1] for node in nodes.values())
    return len(hidden_links(workflow)), tall + sum(node["pos"][1] for node in nodes.values()) / 100
