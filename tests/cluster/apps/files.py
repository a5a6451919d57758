"""The test bed's app for files: written by one task, read by another on another node."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Annotated

from application_sdk.app import App, task
from application_sdk.contracts import FileReference, Input, MaxItems, Output

HOST = "kubernetes.io/hostname"


class Order(Input):
    size: int = 1000
    small: int = 0
    makers: int = 1
    keep: bool = False


class One(Input):
    number: int = 0
    size: int = 0
    small: int = 0
    file: FileReference = FileReference()


class Made(Output):
    file: FileReference = FileReference()
    sha256: str = ""
    node: str = ""


class Summary(Output):
    nodes: Annotated[list[str], MaxItems(100)] = []
    files: int = 0
    size: int = 0
    attempts: int = 0
    peak_mib: int = 0
    kept: FileReference = FileReference()


def pattern(size: int, number: int) -> bytes:
    """Bytes that are the same in each attempt."""
    return hashlib.shake_128(str(number).encode()).digest(size)


def peak_mib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) // 1024


class Files(App):
    @task(retry_max_attempts=2, retry_max_interval_seconds=1)
    def make(self, input: One) -> Made:
        folder = Path(tempfile.mkdtemp())
        if input.small:
            place = folder / "many"
            for number in range(input.small):
                file = place / f"{number % 50}" / f"{number}.json"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(pattern(input.size, number))
        else:
            place = folder / "large.bin"
            piece = pattern(1024 * 1024, input.number)
            with place.open("wb") as out:
                for start in range(0, input.size, len(piece)):
                    out.write(piece[: input.size - start])
        return Made(file=FileReference.from_local(place), node=os.environ["APPRUN_NODE_NAME"])

    @task(retry_max_attempts=2, retry_max_interval_seconds=1)
    def check(self, input: One) -> Summary:
        place = Path(input.file.local_path or "")
        if place.is_dir():
            found = [file for file in place.rglob("*") if file.is_file()]
            for file in found:
                content = file.read_bytes()
                assert content == pattern(len(content), int(file.stem)), file
        else:
            found = [place]
            piece = pattern(1024 * 1024, input.number)
            with place.open("rb") as stored:
                while chunk := stored.read(len(piece)):
                    assert chunk == piece[: len(chunk)]
        size = sum(file.stat().st_size for file in found)
        return Summary(nodes=[os.environ["APPRUN_NODE_NAME"]], files=len(found), size=size, peak_mib=peak_mib())

    async def run(self, input: Order) -> Summary:
        made = await self.make.options(node_selector={HOST: "node1"})(One(size=input.size, small=input.small))
        reader = self.check.options(node_selector={HOST: "node2"})
        summary = await reader(One(file=made.file, size=input.size, small=input.small))
        summary.nodes.insert(0, made.node)
        return summary.model_copy(update={"kept": made.file}) if input.keep else summary


class Handed(Files):
    """Reads a file that its input names."""

    async def run(self, input: One) -> Summary:
        return await self.check(input)
