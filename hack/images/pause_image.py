"""The image of pods' first process: one static program."""

from __future__ import annotations

from pathlib import Path

from hack.cluster import binaries
from hack.cluster.configs import PAUSE_IMAGE
from hack.images.archive import write_single_file_image


def pause_archive() -> Path:
    """The archive of the pause image, made unless it is in the cache."""
    program = binaries.ensure(binaries.PAUSE_PROGRAM)
    archive = program.with_name("image.tar")
    if not archive.exists():
        write_single_file_image(program, PAUSE_IMAGE, archive)
    return archive
