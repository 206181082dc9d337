"""The one step: its arithmetic, its noise, its batches."""

from dataclasses import replace

import pytest
import torch
from conftest import face_at

from osdface_core import FaceCrops, Faces, ImageError, align_faces, encode_prompts, load_model, restore_crops
from osdface_core.batches import in_passes
from osdface_core.models.one_step import OneStep


def test_the_schedule_is_sd21s(starter):
    assert starter.alphas_cumprod[399].item() == pytest.approx(0.4260861278, abs=1e-10)


def test_it_recovers_an_image_from_its_own_noise():
    """With networks that know the answer, the step returns it: z is not noised further, and x0 is what was mixed in."""
    alphas = torch.linspace(0.999, 0.01, 1000)
    original, noise = torch.rand(2, 3, 8, 8) * 2 - 1, torch.randn(2, 3, 8, 8)
    alpha = alphas[250]
    noisy = alpha.sqrt() * original + (1 - alpha).sqrt() * noise
    seen = {}

    def encode(images, seed):
        seen["images"], seen["seed"] = images, seed
        return noisy

    def predict_noise(latents, timestep, embeds):
        seen["timestep"], seen["embeds"] = timestep, embeds
        return noise

    step = OneStep(encode, predict_noise, lambda latents: latents, alphas, timestep=250)
    images, embeds = torch.rand(2, 3, 8, 8), torch.rand(2, 77, 4)
    restored = step(images, embeds, seed=7)
    assert torch.allclose(restored, original / 2 + 0.5, atol=1e-5)
    assert torch.equal(seen["images"], images * 2 - 1)
    assert (seen["timestep"], seen["seed"]) == (250, 7)
    assert seen["embeds"] is embeds


def test_latent_strength_is_a_straight_mix_of_latents():
    z, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    whole = OneStep(None, None, None, torch.full((1000,), 0.4))
    x0 = whole.original(z, noise)
    assert torch.equal(replace(whole, latent_strength=0.0).original(z, noise), z)
    assert torch.equal(replace(whole, latent_strength=1.0).original(z, noise), x0)
    assert torch.allclose(replace(whole, latent_strength=0.25).original(z, noise), z + 0.25 * (x0 - z), atol=1e-6)


def test_what_leaves_the_range_is_clamped():
    step = OneStep(lambda x, seed: x, lambda z, t, e: 0 * z, lambda z: 10 * z, torch.ones(1000))
    restored = step(torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1), torch.zeros(1, 77, 4))
    assert restored.flatten().tolist() == [0, 0.5, 1]


def crops_of(count, size=256):
    torch.manual_seed(3)
    image = torch.rand(2, 3, 120, 160)
    faces = [face_at(30 + 20 * n, 60, 50, frame=n % 2, index=n) for n in range(count)]
    return align_faces(image, Faces(tuple(faces), 2, 120, 160), size)


def test_the_mode_is_deterministic_and_samples_follow_the_seed(starter):
    crops = crops_of(2)
    prompts = encode_prompts(starter.vre, crops)
    runs = {seed: restore_crops(starter.one_step, crops, prompts, seed=seed).images for seed in (None, 1, 2)}
    for seed, images in runs.items():
        assert torch.equal(restore_crops(starter.one_step, crops, prompts, seed=seed).images, images)
    assert not torch.equal(runs[None], runs[1])
    assert not torch.equal(runs[1], runs[2])


def test_a_sample_is_drawn_from_the_posterior_with_cpu_noise(tiny):
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    posterior = tiny.vae.encode(images)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(114))
    expected = (posterior.mean + posterior.std * noise) * 0.18215
    assert torch.equal(tiny.encode(images, 114), expected)
    assert torch.equal(tiny.encode(images, None), posterior.mean * 0.18215)


@pytest.mark.parametrize(("batch_size", "passes"), [(1, 5), (2, 3), (4, 2), (5, 1), (16, 1)])
def test_faces_of_all_frames_share_ceil_n_over_batch_passes(starter, batch_size, passes):
    crops, seen, progress = crops_of(5), {"vre": 0, "unet": 0, "decoder": 0}, []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: seen.update({name: seen[name] + 1}))
        for name, module in (("vre", starter.vre), ("unet", starter.unet), ("decoder", starter.vae.decoder))
    ]
    prompts = encode_prompts(starter.vre, crops, batch_size=batch_size)
    restore_crops(starter.one_step, crops, prompts, batch_size=batch_size, on_batch=lambda *done: progress.append(done))
    for hook in hooks:
        hook.remove()
    assert seen == {"vre": passes, "unet": passes, "decoder": passes}
    assert progress == [(min(batch_size * n, 5), 5) for n in range(1, passes + 1)]


def test_a_model_in_parts_counts_faces_that_are_done_and_can_be_stopped_before_any_is(starter):
    """After every batch of every network: a stop need not wait for the other faces to go through it."""
    model = load_model(placement="parts")
    crops = crops_of(3)
    prompts, seen = encode_prompts(model.vre, crops), []
    restore_crops(model.one_step, crops, prompts, batch_size=2, on_batch=lambda done, count: seen.append((done, count)))
    assert seen == [(0, 3)] * 4 + [(2, 3), (3, 3)]

    passes = []
    hook = model.vae.encoder.register_forward_hook(lambda *_: passes.append(1))

    def stop(_done, _count):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        restore_crops(model.one_step, crops, prompts, batch_size=1, on_batch=stop)
    hook.remove()
    assert len(passes) == 1


@pytest.mark.parametrize("seed", [None, 5])
def test_a_face_does_not_depend_on_its_batch(starter, seed):
    crops = crops_of(3)
    prompts = encode_prompts(starter.vre, crops)
    together = restore_crops(starter.one_step, crops, prompts, batch_size=3, seed=seed).images
    alone = restore_crops(starter.one_step, crops, prompts, batch_size=1, seed=seed).images
    assert torch.allclose(together, alone, atol=1e-3)  # a quarter of an 8-bit level


def test_no_crops_need_no_pass(starter):
    crops = FaceCrops(torch.empty(0, 3, 256, 256), Faces((), 1, 9, 9), torch.empty(0, 2, 3))
    prompts = encode_prompts(starter.vre, crops)
    assert prompts.embeds.shape == (0, 77, starter.config.vre.prompt_channels)
    assert len(restore_crops(starter.one_step, crops, prompts)) == 0


def test_prompts_must_be_the_crops(starter):
    crops = crops_of(2)
    with pytest.raises(ImageError, match="1 prompts for 2 crops"):
        restore_crops(starter.one_step, crops, encode_prompts(starter.vre, crops_of(1)))


def test_running_out_of_memory_halves_the_batch_and_keeps_what_is_done(starter):
    crops, sizes = crops_of(5), []
    prompts = encode_prompts(starter.vre, crops)
    expected = restore_crops(starter.one_step, crops, prompts, batch_size=1).images

    def out_of_memory(_module, inputs):
        sizes.append(inputs[0].shape[0])
        if inputs[0].shape[0] > 2:
            raise torch.OutOfMemoryError("tried to allocate too much")

    hook = starter.unet.register_forward_pre_hook(out_of_memory)
    restored = restore_crops(starter.one_step, crops, prompts, batch_size=5).images
    hook.remove()
    assert sizes == [5, 3, 2, 2, 1]
    assert torch.allclose(restored, expected, atol=1e-3)


def test_a_pass_is_begun_before_the_last_ones_result_is_fetched():
    """So that a GPU is never idle; and only one result is ever waiting. A void pass is made again."""
    course, void = [], [slice(1, 2)]

    def begin(part):
        course.append(f"begin {part.start}")
        return part

    def finish(part, begun):
        assert begun is part
        course.append(f"fetch {part.start}")
        return void.pop() != part if void and void[0] == part else True

    in_passes(3, 1, begin, finish)
    assert course == ["begin 0", "begin 1", "fetch 0", "begin 2", "fetch 1", "begin 1", "fetch 2", "fetch 1"]


def test_an_error_that_is_not_about_memory_is_the_one_that_is_raised(starter):
    crops = crops_of(2)
    prompts = encode_prompts(starter.vre, crops)

    def fail(*_):
        raise ZeroDivisionError

    hook = starter.unet.register_forward_pre_hook(fail)
    with pytest.raises(ZeroDivisionError):
        restore_crops(starter.one_step, crops, prompts)
    hook.remove()
