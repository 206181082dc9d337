"""What tests run in processes of their own. Here, because a spawned process imports it by the name of its module."""

import os
import signal

from osdface_core.errors import DownloadError
from osdface_core.files.atomic_write import atomic_write
from osdface_core.weights.download import download


def write_repeatedly(path, number, go):
    """Write 300000 bytes of `number` in pieces, many times, once `go` is set."""
    go.wait()
    for _ in range(50):
        with atomic_write(path) as partial, partial.open("wb") as file:
            for _ in range(10):
                file.write(bytes([number]) * 30_000)


def work_unless_killed(chosen, device, shard, *arguments):
    """What the process of a device does; that of the first one is killed instead, as the kernel does it."""
    if shard.number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    from osdface_core.cli.album import work_on_device

    work_on_device(chosen, device, shard, *arguments)


def download_and_tell(begun, entry, folder):
    import huggingface_hub  # noqa: F401

    begun.set()
    download(entry, folder)


def download_on_a_small_disk(entry, folder):
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    try:
        download(entry, folder)
    except DownloadError as error:
        (folder / "error").write_text(str(error), encoding="utf-8")
