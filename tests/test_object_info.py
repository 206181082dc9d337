"""The stand-in makes of our nodes what a real ComfyUI makes of them, and that does not change unnoticed."""

import json

from host.record_object_info import RECORD, ours


def test_the_host_describes_our_nodes_as_recorded(host):
    """Ids, inputs, defaults and outputs are for ever: shared workflows name them. Record again only to add."""
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))
    described = json.loads(json.dumps(ours(host.get("object_info"))))
    assert described.keys() == recorded.keys()
    for name, about in recorded.items():
        assert described[name] == about, name
