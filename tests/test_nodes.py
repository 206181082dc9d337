"""The nodes in a host, as a person wires them: in the stand-in, and in a real ComfyUI where there is one."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import ROOT
from facexlib.parsing.bisenet import BiSeNet
from host.client import NodeError
from host.graphs import FACE, STARTER, all_in_one, loaders, node, step_by_step
from PIL import Image
from test_face_mesh import mesh

ASTRONAUT = np.array(Image.open(ROOT / "photos" / "astronaut.png"))


def report(outputs):
    return json.loads(outputs["report"]["text"][0])


def test_one_node_restores_the_faces_of_a_photo(host):
    outputs = host.run(all_in_one())
    after = host.picture(outputs["save"])
    changed = (after != ASTRONAUT).any(2)
    assert changed[60:170, 180:270].mean() > 0.95
    assert not changed[300:].any()
    assert report(outputs)["summary"] == "1 of 1 face restored"


def alone(**inputs):
    """One node beside those that load and save."""
    widgets = {"faces": "all", "strength": 1.0, "threshold": 0.8, "batch_size": 4}
    prompt = all_in_one()
    del prompt["model"], prompt["detector"]
    return prompt | {"restore": node("OSDFaceRestoreFaces", image=["image", 0], **widgets | inputs)}


def test_nothing_has_to_be_connected_but_a_photo(host):
    prompt = all_in_one() | {"detector": node("OSDFaceLoadDetector", detector=STARTER)}
    connected, outputs = host.run(prompt), host.run(alone())
    assert (host.picture(outputs["save"]) == host.picture(connected["save"])).all()
    assert report(outputs) == report(connected)
    assert "starter weights" in outputs["restore"]["text"][0]
    assert "starter weights" not in connected["restore"]["text"][0]


def test_faces_that_were_chosen_before_are_restored_without_looking_again(host):
    detect = node("OSDFaceDetect", image=["image", 0], boxes=FACE, threshold=0.8)
    outputs = host.run(alone(detected=["detect", 0], threshold=1.0) | {"detect": detect})
    (face,) = report(outputs)["faces"]
    assert face["restored"]
    assert face["box"] == [178, 58, 273, 177]


def test_a_mask_says_where_one_node_restores(host):
    mask = np.zeros((512, 512, 4), np.uint8)
    mask[..., 3] = 255
    mask[:, :225, 3] = 0  # what is transparent is white in a MASK
    Image.fromarray(mask).save(host.base / "input" / "left.png")
    outputs = host.run(alone(mask=["left", 1]) | {"left": node("LoadImage", image="left.png")})
    changed = (host.picture(outputs["save"]) != ASTRONAUT).any(2)
    assert changed[60:170, 180:220].mean() > 0.95
    assert not changed[:, 230:].any()


def test_one_node_enlarges_the_photo_around_its_faces(host):
    outputs = host.run(alone(upscale=1.5))
    large = host.picture(outputs["save"])
    assert large.shape == (768, 768, 3)
    assert report(outputs)["faces"][0]["restored"]
    prompt = alone(upscale=2.0, background=["image", 0])
    with pytest.raises(NodeError, match="leave upscale at 1"):
        host.run(prompt)


def test_every_stage_in_a_node_of_its_own_gives_the_same(host):
    one, steps = host.run(all_in_one(color="none")), host.run(step_by_step())
    assert (host.picture(one["save"]) == host.picture(steps["save"])).all()
    assert report(one) == report(steps)
    assert host.picture(steps["map"]).shape == (256, 256, 3)
    assert (host.picture(steps["numbers"]) != ASTRONAUT).any()


def test_another_detectors_box_is_enough(host):
    outputs = host.run(step_by_step(detect={"boxes": FACE}))
    changed = (host.picture(outputs["save"]) != ASTRONAUT).any(2)
    assert changed[60:170, 180:270].mean() > 0.95
    assert not changed[300:].any()
    assert report(outputs)["faces"][0]["box"] == [178, 58, 273, 177]


def test_mediapipes_landmarks_are_enough(host):
    """As the astronaut's mesh has them, without a detector or a look at the photo: the box is the mesh's."""
    points = mesh().tolist()
    landmarks = {"frames": [[{"landmarks_xy": points, "score": 0.9}]], "image_size": [512, 512]}
    prompt = step_by_step(detect={"face_landmarks": landmarks})
    del prompt["detector"], prompt["detect"]["inputs"]["detector"]
    outputs = host.run(prompt)
    changed = (host.picture(outputs["save"]) != ASTRONAUT).any(2)
    assert changed[60:170, 180:270].mean() > 0.95
    assert not changed[300:].any()
    (face,) = report(outputs)["faces"]
    assert face["restored"]
    assert face["box"] == pytest.approx([179.0, 71.2, 270.7, 177.4])


def test_strength_0_changes_nothing(host):
    outputs = host.run(step_by_step(detect={"boxes": FACE}, paste={"strength": 0.0}))
    assert (host.picture(outputs["save"]) == ASTRONAUT).all()
    assert report(outputs)["faces"][0]["reason"] == "strength is 0"


def test_the_faces_chosen_in_a_group_are_the_ones_restored(host):
    outputs = host.run(step_by_step("group_solvay1927.jpg", select={"rule": "these numbers", "numbers": "3, 27"}))
    assert [face["index"] for face in report(outputs)["faces"] if face["restored"]] == [3, 27]
    assert len(report(outputs)["faces"]) == 29
    outputs = host.run(all_in_one("group_solvay1927.jpg", faces="largest"))
    faces = report(outputs)["faces"]
    assert sum(face["restored"] for face in faces) == 1
    assert {face["reason"] for face in faces if not face["restored"]} == {"not selected"}


def test_faces_go_into_an_upscaled_background(host):
    prompt = step_by_step(detect={"boxes": FACE}, paste={"image": ["large", 0]})
    prompt["large"] = node("ImageScaleBy", image=["image", 0], upscale_method="bicubic", scale_by=2.0)
    prompt["plain"] = node("PreviewImage", images=["large", 0])
    outputs = host.run(prompt)
    after, plain = host.picture(outputs["save"]), host.picture(outputs["plain"])
    assert after.shape == (1024, 1024, 3)
    changed = (after != plain).any(2)
    assert changed[120:340, 360:540].mean() > 0.95
    assert not changed[600:].any()


@pytest.mark.parametrize("method", ["wavelet", "adain"])
def test_colours_of_the_photo_are_matched_on_the_way_to_the_paste(host, method):
    prompt = step_by_step(detect={"boxes": FACE}, paste={"crops": ["match", 0]})
    prompt["match"] = node("OSDFaceMatchColor", restored=["set", 0], source=["crop", 0], method=method, strength=1.0)
    prompt["before"] = node("PreviewImage", images=["crop", 1])
    prompt["after"] = node("PreviewImage", images=["match", 1])
    outputs = host.run(prompt)
    before, after = (host.picture(outputs[name]).astype(float) for name in ("before", "after"))
    assert np.abs(after.mean((0, 1)) - before.mean((0, 1))).max() < 12
    assert (host.picture(outputs["save"]) != ASTRONAUT).any()


def test_one_node_matches_colours_and_skips_sharp_faces_too(host):
    steps = step_by_step(paste={"crops": ["match", 0], "shape": "ellipse"})
    colours = {"restored": ["set", 0], "source": ["crop", 0], "method": "wavelet", "strength": 1.0}
    steps["match"] = node("OSDFaceMatchColor", **colours)
    one = host.run(all_in_one(color="wavelet", shape="ellipse"))
    assert (host.picture(one["save"]) == host.picture(host.run(steps)["save"])).all()
    skipped = host.run(all_in_one(skip_sharp=True))
    assert (host.picture(skipped["save"]) == ASTRONAUT).all()
    assert "sharp already" in report(skipped)["faces"][0]["reason"]
    assert "1 face looked sharp already: with skip_sharp" in one["restore"]["text"][0]
    assert "looked sharp" not in skipped["restore"]["text"][0]


@pytest.fixture
def load_embedder(host, shared):
    """The node that loads a real embedder, whose file is there for as long as the test runs."""
    folder = host.base / "models" / "facerecognition"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(shared / "weights" / "mobilefacenet.safetensors", folder)
    yield node("OSDFaceLoadEmbedder", embedder="mobilefacenet.safetensors")
    (folder / "mobilefacenet.safetensors").unlink()


def test_faces_that_become_somebody_else_are_left_as_they_were(host, load_embedder):
    prompt = step_by_step(paste={"crops": ["identity", 0]}) | {"embedder": load_embedder}
    checked = {"source": ["crop", 0], "embedder": ["embedder", 0]}
    prompt["identity"] = node("OSDFaceIdentity", restored=["crop", 0], min_identity=0.9, **checked)
    prompt["lines"] = node("PreviewAny", source=["identity", 2])
    outputs = host.run(prompt)
    assert outputs["lines"]["text"] == ["face 0: 1.00"]
    assert report(outputs)["faces"][0]["reason"] == "it looks as before"
    prompt["identity"]["inputs"]["restored"] = ["set", 0]
    prompt["set"]["inputs"]["images"] = ["flipped", 0]
    prompt["flipped"] = node("ImageFlip", image=["crop", 1], flip_method="x-axis: vertically")
    outputs = host.run(prompt)
    assert outputs["lines"]["text"][0].endswith("left as it was")
    assert (host.picture(outputs["save"]) == ASTRONAUT).all()
    assert "is below 0.90" in report(outputs)["summary"]


def test_one_node_measures_identity_too(host, load_embedder):
    prompt = all_in_one(embedder=["embedder", 0], min_identity=1.0) | {"embedder": load_embedder}
    outputs = host.run(prompt)
    assert (host.picture(outputs["save"]) == ASTRONAUT).all()
    assert report(outputs)["faces"][0]["identity"] < 1


def test_only_the_person_of_a_reference_is_restored(host, load_embedder):
    prompt = step_by_step(
        restore={"crops": ["person", 0]}, prompt={"crops": ["person", 0]}, set={"crops": ["person", 0]}
    )
    tools = {"detector": ["detector", 0], "embedder": ["embedder", 0]}
    chosen = {"crops": ["crop", 0], "reference": ["reference", 0], "min_identity": 0.3, "count": 0}
    prompt |= {"embedder": load_embedder, "person": node("OSDFaceSelectPerson", **chosen, **tools)}
    prompt["reference"] = node("ImageFlip", image=["image", 0], flip_method="y-axis: horizontally")
    prompt["lines"] = node("PreviewAny", source=["person", 2])
    outputs = host.run(prompt)
    assert report(outputs)["faces"][0]["restored"]
    assert float(outputs["lines"]["text"][0].split(": ")[1]) > 0.7
    prompt["reference"] = node("LoadImage", image="group_solvay1927.jpg")
    outputs = host.run(prompt)
    assert (host.picture(outputs["save"]) == ASTRONAUT).all()
    assert "is below 0.30" in report(outputs)["summary"]


def test_faces_that_are_sharp_already_are_skipped(host):
    prompt = step_by_step(
        detect={"boxes": FACE}, **{name: {"crops": ["skip", 0]} for name in ("prompt", "restore", "set")}
    )
    prompt["skip"] = node("OSDFaceSkipSharp", crops=["crop", 0], limit=0.0)
    prompt["lines"] = node("PreviewAny", source=["skip", 2])
    outputs = host.run(prompt)
    assert (host.picture(outputs["save"]) == ASTRONAUT).all()
    value = outputs["lines"]["text"][0].removeprefix("face 0: ")
    assert f"face 0 left: sharp already ({value})" in report(outputs)["summary"]
    prompt["skip"]["inputs"]["limit"] = float(value) + 0.1
    assert report(host.run(prompt))["faces"][0]["restored"]


def test_faces_of_a_group_can_be_chosen_by_size(host):
    outputs = host.run(step_by_step("group_solvay1927.jpg", select={"rule": "largest", "min_size": 49, "max_size": 53}))
    faces = report(outputs)["faces"]
    within = [49 <= max(face["size"]) <= 53 for face in faces]
    assert [face["restored"] for face in faces] == within
    assert 0 < sum(within) < 29


def test_detection_has_limits_and_finds_faces_upside_down(host):
    outputs = host.run(step_by_step("group_solvay1927.jpg", detect={"max_count": 2}))
    assert "2 of 29 faces restored" in report(outputs)["summary"]
    assert "left: not among the 2 largest" in report(outputs)["summary"]
    prompt = step_by_step(detect={"image": ["turned", 0], "any_rotation": True}, crop={"image": ["turned", 0]})
    prompt["paste"]["inputs"]["image"] = ["turned", 0]
    prompt["mirrored"] = node("ImageFlip", image=["image", 0], flip_method="x-axis: vertically")
    prompt["turned"] = node("ImageFlip", image=["mirrored", 0], flip_method="y-axis: horizontally")
    outputs = host.run(prompt)
    changed = (host.picture(outputs["save"])[::-1, ::-1] != ASTRONAUT).any(2)
    assert changed[60:170, 180:270].mean() > 0.95
    assert not changed[300:].any()


def test_without_anything_to_find_faces_with_the_node_says_what_to_connect(host):
    prompt = step_by_step()
    del prompt["detector"], prompt["detect"]["inputs"]["detector"]
    with pytest.raises(NodeError, match="connect Load Face Detector, boxes or face landmarks"):
        host.run(prompt)


def test_an_error_names_no_path_of_the_pack(host):
    """ComfyUI shows beside an error the name of its class's module, which has the pack's path in it."""
    answer = host.start(step_by_step(select={"rule": "these numbers", "numbers": "3-1"}))
    ((_, about),) = [
        message for message in host.finish(answer["prompt_id"])["status"]["messages"] if message[0] == "execution_error"
    ]
    assert about["exception_type"] == "osdface_core.errors.ImageError"


def test_the_nodes_say_what_they_leave_and_what_does_not_fit(host):
    outputs = host.run(step_by_step(detect={"boxes": FACE, "min_size": 500}))
    assert outputs["detect"]["text"] == ["0 faces\n1 left: smaller than 500 px"]
    crops = {"size": 128}
    outputs = host.run(step_by_step(detect={"boxes": FACE}, crop=crops))
    assert outputs["detect"]["text"] == ["1 face"]
    assert "128 pixels a side; these weights were trained for 256" in outputs["restore"]["text"][0]


def test_every_frame_of_a_batch_comes_back_in_its_place(host):
    prompt = loaders() | {
        "flipped": node("ImageFlip", image=["image", 0], flip_method="y-axis: horizontally"),
        "batch": node("ImageBatch", image1=["image", 0], image2=["flipped", 0]),
        "detect": node("OSDFaceDetect", image=["batch", 0], detector=["detector", 0], threshold=0.8, boxes=FACE),
        "crop": node("OSDFaceCrop", image=["batch", 0], faces=["detect", 0], size=256),
        "paste": node("OSDFacePaste", image=["batch", 0], crops=["crop", 0], strength=1.0, feather=0.1),
        "save": node("SaveImage", images=["paste", 0], filename_prefix="batch"),
    }
    outputs = host.run(prompt)
    assert len(outputs["save"]["images"]) == 2
    for number, expected in enumerate((ASTRONAUT, ASTRONAUT[:, ::-1])):
        frame = host.picture(outputs["save"], number).astype(int)
        assert np.abs(frame - expected)[300:].max() == 0
        assert np.abs(frame - expected).mean() < 2  # unchanged crops, pasted back


def test_sampling_follows_the_seed(host):
    pictures = [
        host.picture(host.run(step_by_step(detect={"boxes": FACE}, restore={"sample": True, "seed": seed}))["save"])
        for seed in (1, 1, 2)
    ]
    assert (pictures[0] == pictures[1]).all()
    assert (pictures[0] != pictures[2]).any()


def test_any_square_picture_can_stand_in_for_a_crop(host):
    outputs = host.run(step_by_step(detect={"boxes": FACE}, set={"images": ["image", 0]}))
    changed = (host.picture(outputs["save"]) != ASTRONAUT).any(2)
    assert changed[60:170, 180:270].mean() > 0.9
    assert not changed[300:].any()


def test_another_node_may_say_which_files_to_load(host):
    """Their names are not known before the workflow runs."""
    prompt = step_by_step(detect={"boxes": FACE})
    for loader, name in (("model", "weights"), ("detector", "detector")):
        prompt[f"{name} file"] = node("TestAnything", text=prompt[loader]["inputs"][name])
        prompt[loader]["inputs"][name] = [f"{name} file", 0]
    assert (host.picture(host.run(prompt)["save"]) != ASTRONAUT).any()
    prompt["detector file"]["inputs"]["text"] = "not there.pth"
    with pytest.raises(NodeError, match=r"not there.pth is not on this machine.*models/facedetection"):
        host.run(prompt)


def test_nodes_are_found_by_what_people_call_them(host):
    info = host.get("object_info")
    ours = {name: about for name, about in info.items() if name.startswith("OSDFace")}
    for wish in ("restore face", "fix face", "old photo"):
        assert any(wish in about["search_aliases"] for about in ours.values())
    for about in ours.values():
        assert about["description"]
        assert about["display_name"]
        for group in ("required", "optional"):
            slots = about["input"].get(group, {}).values()
            assert all(options.get("tooltip") for _, options in slots), about["name"]


def test_masks_on_the_crops_and_an_ellipse_limit_what_is_pasted(host):
    """The mask of Load Image, black where a photo has no transparency, stands for one drawn on the crop."""
    whole = host.picture(host.run(step_by_step(detect={"boxes": FACE}))["save"])
    head = host.picture(host.run(step_by_step(detect={"boxes": FACE}, paste={"shape": "ellipse"}))["save"])
    assert 0.4 < (head != ASTRONAUT).any(2).sum() / (whole != ASTRONAUT).any(2).sum() < 0.8
    nothing = host.run(step_by_step(detect={"boxes": FACE}, paste={"face_masks": ["image", 1]}))
    assert (host.picture(nothing["save"]) == ASTRONAUT).all()


def test_a_missing_parser_says_where_to_get_it(host):
    prompt = step_by_step(detect={"boxes": FACE}, paste={"face_masks": ["mask", 0]})
    prompt["parser"] = node("OSDFaceLoadParser", parser="parsing_parsenet.pth")
    inputs = {"hair": True, "glasses": False, "feather": 0.1, "batch_size": 4}
    prompt["mask"] = node("OSDFaceMask", crops=["restore", 0], parser=["parser", 0], **inputs)
    with pytest.raises(NodeError, match="weights download parsenet"):
        host.run(prompt)


@pytest.fixture
def load_parser(host):
    """The node that loads a BiSeNet without weights in its last layer: to it everything is background."""
    network = BiSeNet(num_class=19)
    torch.nn.init.zeros_(network.conv_out.conv_out.weight)
    path = host.base / "models" / "facedetection" / "parsing_bisenet.pth"
    torch.save(network.state_dict(), path)
    yield node("OSDFaceLoadParser", parser=path.name)
    path.unlink()


def test_what_the_parser_takes_for_background_is_not_pasted(host, load_parser):
    prompt = step_by_step(detect={"boxes": FACE}, paste={"face_masks": ["mask", 0]}) | {"parser": load_parser}
    inputs = {"hair": True, "glasses": True, "feather": 0.1, "batch_size": 4}
    prompt["mask"] = node("OSDFaceMask", crops=["restore", 0], parser=["parser", 0], **inputs)
    outputs = host.run(prompt)
    assert (host.picture(outputs["save"]) == ASTRONAUT).all()
    assert report(outputs)["faces"][0]["reason"] == "outside the mask"


def test_one_node_asks_the_parser_too(host, load_parser):
    outputs = host.run(all_in_one(parser=["parser", 0], hair=False) | {"parser": load_parser})
    assert (host.picture(outputs["save"]) == ASTRONAUT).all()
    assert report(outputs)["faces"][0]["reason"] == "outside the mask"
    with pytest.raises(NodeError, match="face parser is needed to leave hair and glasses alone"):
        host.run(all_in_one(hair=False, glasses=False))


def test_the_attention_to_a_prompt_is_drawn_when_asked_for(host):
    prompt = step_by_step(detect={"boxes": FACE}, prompt={"attention_map": True})
    prompt["map"] = node("SaveImage", images=["prompt", 3], filename_prefix="attention")
    drawn = host.picture(host.run(prompt)["map"])
    assert drawn.shape[:2] == (768, 768)
    cells = drawn.reshape(3, 256, 3, 256, 3).astype(float).mean((1, 3, 4)).ravel()
    assert cells.min() > 10
    prompt["prompt"]["inputs"]["attention_map"] = False
    assert not host.picture(host.run(prompt)["map"]).any()
