"""What tests run in processes of their own. Here, because a spawned process imports it by the name of its module."""

from osdface_core.atomic_write import atomic_write


def write_repeatedly(path, number, go):
    """Write 300000 bytes of `number` in pieces, many times, once `go` is set."""
    go.wait()
    for _ in range(50):
        with atomic_write(path) as partial, partial.open("wb") as file:
            for _ in range(10):
                file.write(bytes([number]) * 30_000)
