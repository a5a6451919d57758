"""Files in a run: stored before a task's report, there when the next one starts, gone with the run. The route sees
digests only."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import pytest

from application_sdk.app import App, task
from application_sdk.contracts import (
    DownloadInput,
    FileReference,
    Input,
    MaxItems,
    Output,
    StorageTier,
    UploadInput,
    UploadOutput,
)
from application_sdk.storage import ObjectMissingError
from application_sdk.testing import check_durability, run_app
from application_sdk.testing.runs import FinishedRun


class Size(Input):
    files: int = 3
    tier: StorageTier = StorageTier.TRANSIENT


class Text(Output):
    text: str = ""


class Made(Output):
    file: FileReference = FileReference()


@dataclass(frozen=True)
class Labelled:
    label: str
    file: FileReference


class Shelf(Output):
    by_name: Annotated[dict[str, FileReference], MaxItems(10)] = {}
    listed: Annotated[list[Labelled], MaxItems(10)] = []
    pair: tuple[FileReference, FileReference] | None = None


class ShelfInput(Input):
    shelf: Shelf = Shelf()


class One(Input):
    file: FileReference = FileReference()
    change: bool = False
    text: str = ""


def write(name: str, text: str) -> FileReference:
    place = Path(FOLDER.path) / f"{len(list(Path(FOLDER.path).iterdir()))}"
    place.mkdir()
    (place / name).write_text(text)
    return FileReference.from_local(place / name)


class FOLDER:
    path = ""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    FOLDER.path = str(tmp_path)


class Files(App, abstract=True):
    @task
    async def make(self, input: One) -> Made:
        return Made(file=write("a.txt", input.text or "content"))

    @task
    def read(self, input: One) -> Text:
        return Text(text=Path(input.file.local_path or "").read_text())

    @task
    async def pass_on(self, input: One) -> Made:
        return Made(file=input.file)

    @task
    async def fill(self, input: Size) -> Shelf:
        refs = [write(f"{number}", f"text {number}") for number in range(4)]
        return Shelf(by_name={"zero": refs[0]}, listed=[Labelled("one", refs[1])], pair=(refs[2], refs[3]))

    @task
    def count(self, input: ShelfInput) -> Text:
        shelf = input.shelf
        refs = [*shelf.by_name.values(), *(item.file for item in shelf.listed), *(shelf.pair or ())]
        return Text(text=",".join(Path(ref.local_path or "").read_text() for ref in refs))


def objects(run: FinishedRun) -> list[str]:
    root = Path(run.files["url"].removeprefix("file://"))
    return sorted(str(place.relative_to(root)) for place in root.rglob("*") if place.is_file())


class Hand(Files):
    async def run(self, input: Size) -> Text:
        made = await self.make(One())
        assert made.file.local_path is None
        again = await self.pass_on(One(file=made.file))
        assert again.file == made.file
        return await self.read(One(file=again.file))


def test_file_that_a_task_returns_is_there_when_the_next_one_starts() -> None:
    assert run_app(Hand, Size()).output.text == "content"


class Nested(Files):
    async def run(self, input: Size) -> Text:
        return await self.count(ShelfInput(shelf=await self.fill(input)))


def test_references_are_found_in_lists_dicts_tuples_and_dataclasses() -> None:
    assert run_app(Nested, Size()).output.text == "text 0,text 1,text 2,text 3"


def test_transient_files_go_with_a_run_that_succeeds() -> None:
    run = run_app(Hand, Size())
    assert run.executed[-1] == "apprun.cleanup"
    assert objects(run) == []


class Returning(Files):
    async def run(self, input: Size) -> Made:
        await self.make(One(text="scratch"))
        return await self.make(One(text="result"))


def test_file_that_the_run_returns_stays() -> None:
    run = run_app(Returning, Size())
    assert run.file(run.output.file).read_text() == "result"
    assert len(objects(run)) == 1


class Failing(Files):
    async def run(self, input: Size) -> Made:
        made = await self.make(One())
        raise ValueError(made.file.sha256)


def test_files_of_a_failed_run_stay_to_be_looked_into() -> None:
    run = run_app(Failing, Size())
    assert run.outcome == "Failed"
    assert len(objects(run)) == 1


class Waiting(Files):
    async def run(self, input: Size) -> Made:
        made = await self.make(One())
        await self.sleep(1000)
        return made


def test_files_of_a_cancelled_run_go() -> None:
    run = run_app(Waiting, Size(), cancel_after=500)
    assert run.outcome == "Cancelled"
    assert objects(run) == []


def test_failed_clean_up_fails_no_run() -> None:
    run = run_app(Hand, Size(), failures={"apprun.cleanup": ConnectionError("the store is gone")})
    assert run.outcome == "Succeeded"
    assert len(objects(run)) == 1


class Chain(Files):
    async def run(self, input: One) -> Text:
        if not input.change:
            kept = await self.make(One(text="handed on"))
            await self.make(One(text="not needed"))
            self.continue_with(One(file=kept.file, change=True))
        return await self.read(One(file=input.file))


def test_continued_run_has_the_files_that_it_was_given() -> None:
    run = run_app(Chain, One())
    assert run.output.text == "handed on"
    assert run.continued_from is not None
    assert [path.rpartition("/")[2] for path in objects(run)] != []
    assert len(objects(run)) == 1


class Uploading(Files):
    async def run(self, input: Size) -> UploadOutput:
        made = await self.make(One())
        return await self.upload(UploadInput(ref=made.file, tier=StorageTier.RETAINED))


def test_upload_in_a_route_is_a_task_call() -> None:
    run = run_app(Uploading, Size())
    assert run.executed == ["make", "apprun.upload", "apprun.cleanup"]
    assert run.output.ref.tier is StorageTier.RETAINED
    assert run.file(run.output.ref).read_text() == "content"


class Fetching(Files):
    @task
    async def publish(self, input: One) -> Text:
        await self.upload(UploadInput(local_path=write("x", "published").local_path or "", storage_path="public/x"))
        return Text()

    async def run(self, input: Size) -> Text:
        await self.publish(One())
        fetched = await self.download(DownloadInput(storage_path="public/x"))
        return await self.read(One(file=fetched.ref))


def test_download_in_a_route_hands_the_file_to_the_next_task() -> None:
    run = run_app(Fetching, Size())
    assert run.output.text == "published"
    assert objects(run) == ["public/x"]


class Localised(Files):
    async def run(self, input: Size) -> Text:
        made = await self.make(One())
        there = made.file.model_copy(update={"local_path": str(self.random().random())})
        first = await self.read(One(file=made.file))
        await self.read(One(file=there))
        return first


def test_path_on_a_disk_is_no_part_of_a_calls_identity() -> None:
    run = run_app(Localised, Size())
    inputs = [execution.input for execution in run.executions if execution.task == "read"]
    assert inputs[0] == inputs[1]


def test_retry_after_a_lost_report_stores_nothing_anew() -> None:
    once = run_app(Failing, Size())
    twice = run_app(Failing, Size(), failures={"make": [None]})
    assert [path.rpartition("/")[2] for path in objects(once)] == [path.rpartition("/")[2] for path in objects(twice)]


@pytest.mark.slow
def test_run_with_files_survives_a_crash_anywhere() -> None:
    check_durability(Nested, Size())


def test_missing_file_fails_the_task_at_once_and_names_it() -> None:
    class Lost(Files):
        async def run(self, input: Size) -> Text:
            made = await self.make(One())
            gone = made.file.model_copy(update={"storage_path": f"{made.file.storage_path}"[:-1] + "x", "sha256": None})
            return await self.read(One(file=gone))

    run = run_app(Lost, Size())
    assert run.outcome == "Failed"
    assert "ObjectMissingError" in run.message
    assert run.executed.count("read") == 1


def test_store_is_no_business_of_a_route() -> None:
    class Peeking(Files):
        async def run(self, input: Size) -> Text:
            await self.context.storage.read("x")
            return Text()

    assert "move files in a @task" in run_app(Peeking, Size()).message


async def test_task_on_a_bare_instance_stores_in_a_folder_of_the_process() -> None:
    class Bare(Files):
        @task
        async def put(self, input: One) -> UploadOutput:
            return await self.upload(UploadInput(local_path=write("a", "bare").local_path or ""))

        async def run(self, input: One) -> UploadOutput:
            return await self.put(input)

    app = Bare()
    out = await app.put(One())
    assert await app.context.storage.read(out.ref) == b"bare"
    with pytest.raises(ObjectMissingError):
        await app.context.storage.read("nothing")


def test_reference_that_is_not_to_be_moved_is_left_alone() -> None:
    class ByHand(Files):
        @task
        async def label(self, input: One) -> Made:
            return Made(file=FileReference(local_path="/tmp/later", auto_materialize=False))

        async def run(self, input: One) -> Made:
            return await self.label(input)

    assert run_app(ByHand, One()).output.file == FileReference(local_path="/tmp/later", auto_materialize=False)


class Scratch(App):
    folders: ClassVar[list[Path]] = []

    @task(retry_max_attempts=1)
    async def make(self, input: Size) -> Made:
        folder = self.task_context.scratch
        assert folder == self.task_context.scratch
        assert list(folder.iterdir()) == []
        self.folders.append(folder)
        (folder / "made.txt").write_text(f"{input.files}")
        if input.files == 0:
            raise ValueError("none")
        return Made(file=FileReference.from_local(folder / "made.txt"))

    async def run(self, input: Size) -> Made:
        made = await asyncio.gather(*(self.make(Size(files=input.files + n)) for n in range(2)))
        return made[1]


def test_attempts_have_folders_of_their_own_that_go_when_what_they_hold_is_stored() -> None:
    Scratch.folders.clear()
    finished = run_app(Scratch, Size(files=3))
    assert finished.file(finished.output.file).read_text() == "4"
    run_app(Scratch, Size(files=0))
    assert len(set(Scratch.folders)) == len(Scratch.folders) >= 3
    assert [folder for folder in Scratch.folders if folder.exists()] == []


async def test_a_task_that_is_called_as_a_method_has_such_a_folder_too() -> None:
    made = await Scratch().make(Size(files=7))
    assert made.file.path.read_text() == "7"


class Own(Files):
    async def run(self, input: One) -> Text:
        return await self.read(input)


def test_a_users_own_file_is_read_on_a_users_own_machine() -> None:
    """On a laptop and in tests, where whoever gives the input could open the file as well."""
    assert run_app(Own, One(file=write("own.txt", "mine"))).output.text == "mine"
