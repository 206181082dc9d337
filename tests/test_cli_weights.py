"""`osdface weights`, as a person uses it."""

import logging
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

from osdface_core.cli import main
from osdface_core.weights.consent import consent_file
from osdface_core.weights.find import models_folder

FILES = {name: name.encode() * 1000 for name in ("associate_2.ckpt", "embedding_change_weights.pth")}
FILES["pytorch_lora_weights.safetensors"] = b"lora" * 1000


@pytest.fixture(autouse=True)
def messages(hub, caplog):
    hub.put("alecccdd/OSDFace", FILES)
    caplog.set_level(logging.INFO)
    return caplog


def run(*arguments):
    return main(["weights", *map(str, arguments)])


def test_the_list_says_what_each_is_for_where_it_is_and_on_what_terms(capsys):
    assert run("list") == 0
    listed = capsys.readouterr().out
    assert "osdface: not on this machine" in listed
    assert "all rights reserved; do not pass them on" in listed
    assert run("download", "osdface", "--accept-licence") == 0
    assert run("list") == 0
    assert f"osdface: {models_folder()}" in capsys.readouterr().out


def test_the_licence_comes_before_the_first_byte(hub, messages, capsys):
    with pytest.raises(SystemExit) as caught:
        run("download", "osdface")
    assert caught.value.code == 2
    assert "Licence: none stated by the authors: all rights reserved" in messages.text
    assert "--accept" in capsys.readouterr().err
    assert hub.requests == []


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 1)])
def test_a_person_is_asked(hub, messages, monkeypatch, answer, code):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _question: answer)
    assert run("download", "osdface") == code
    assert bool(hub.requests) == (code == 0)


def test_who_has_agreed_is_not_asked_again(hub, messages):
    """On this machine, and to this licence; ComfyUI's node reads the same file."""
    assert run("download", "osdface", "--accept") == 0
    shutil.rmtree(models_folder() / "osdface")
    assert run("download", "osdface") == 0
    shutil.rmtree(models_folder() / "osdface")
    consent_file().write_text('{"osdface": "another licence"}', encoding="utf-8")
    with pytest.raises(SystemExit):
        run("download", "osdface")


def test_without_a_name_all_that_osdface_needs_is_got(hub, messages, capsys):
    assert run("download", "--accept") == 1  # this hub has the authors' files alone
    assert (models_folder() / "osdface/authors/associate_2.ckpt").is_file()
    assert "model_index.json: no source has it" in messages.text + capsys.readouterr().err


def test_files_are_downloaded_once_with_progress_in_the_terminal(hub, messages, tmp_path, capsys):
    assert run("download", "osdface", "--accept-licence", "--models", tmp_path) == 0
    folder = tmp_path / "osdface" / "authors"
    assert all((folder / name).read_bytes() == content for name, content in FILES.items())
    hub.requests.clear()
    assert run("download", "osdface", "--accept-licence", "--models", tmp_path) == 0
    assert "osdface is on this machine already" in messages.text
    assert hub.requests == []


def test_verify_names_what_is_wrong_and_goes_on(messages, capsys):
    assert run("download", "osdface", "--accept-licence") == 0
    assert run("verify", "osdface") == 0
    assert "associate_2.ckpt" in capsys.readouterr().out
    (models_folder() / "osdface/authors/associate_2.ckpt").write_bytes(b"changed")
    assert run("verify") == 1
    assert "associate_2.ckpt: its sha256 is" in messages.text
    assert run("verify", "taesd") == 1
    assert "osdface weights download taesd" in messages.text


def test_the_environment_names_the_hub_and_the_bar_is_shown(hub, tmp_path):
    """A process of its own, with HF_ENDPOINT and a terminal's width; the catalogue's sha256 refuses what is served."""
    hub.put("madebyollin/taesd", {"config.json": b"{}", "diffusion_pytorch_model.safetensors": bytes(9_793_292)})
    command = [sys.executable, "-m", "osdface_core.cli", "weights", "download", "--accept", "osdface", "taesd"]
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert (models_folder() / "osdface/authors/associate_2.ckpt").is_file()
    assert done.returncode == 1
    assert "expected db169d69145ec4ff" in done.stderr
    assert not (models_folder() / "vae_approx/taesd/diffusion_pytorch_model.safetensors").exists()
    offline = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment | {"HF_HUB_OFFLINE": "1"}
    )
    assert "downloads are off (HF_HUB_OFFLINE)" in offline.stderr
