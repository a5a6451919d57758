"""The test bed's app for what shapes a pod: each task says what it finds in its own."""

import asyncio
import os
import pathlib
import resource

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output

HOME = {"kubernetes.io/hostname": "node1"}
SPREAD = {
    "topologyKey": "kubernetes.io/hostname",
    "maxSkew": 1,
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {"matchLabels": {"test": "spread"}},
}


def read(path: str) -> str:
    """The text of a file."""
    return pathlib.Path(path).read_text()


def write(path: str, text: str) -> None:
    """Create or replace a file."""
    pathlib.Path(path).write_text(text)


class Wanted(Input):
    """Which task is called, and how often side by side."""

    task: str = ""
    times: int = 1


class Found(Output):
    """What a task found."""

    text: str = ""


class Shaped(App):
    @task(
        env={
            "PLAIN": "text",
            "FROM_MAP": {"configMap": "settings", "key": "url"},
            "FROM_SECRET": {"secret": "token", "key": "token"},
            "PERHAPS": {"secret": "nowhere", "key": "token", "optional": True},
        },
        env_from=[{"configMap": "settings", "prefix": "ALL_"}],
    )
    async def environment(self, input: Input) -> Found:
        names = ("PLAIN", "FROM_MAP", "FROM_SECRET", "PERHAPS", "ALL_url", "DEPLOYED")
        return Found(text=" ".join(os.environ.get(name, "-") for name in names))

    @task(shm="96Mi", memory="256Mi")
    async def shared_memory(self, input: Input) -> Found:
        size = os.statvfs("/dev/shm")
        return Found(text=str(size.f_blocks * size.f_frsize // 2**20))

    @task(volumes={"/cache": {"persistentVolumeClaim": {"claimName": "cache"}}})
    async def writer(self, input: Input) -> Found:
        write("/cache/model", "from the first task")
        return Found()

    @task(
        volumes={
            "/cache": {"persistentVolumeClaim": {"claimName": "cache"}, "readOnly": True},
            "/etc/app": {"configMap": {"name": "settings"}},
            "/scratch": {"emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        },
    )
    async def reader(self, input: Input) -> Found:
        write("/scratch/file", "mine")
        return Found(text=f"{read('/cache/model')}, {read('/etc/app/url')}")

    @task(gpu=1)
    async def gpu(self, input: Input) -> Found:
        return Found(text="on a node with a GPU")

    @task(topology_spread=[SPREAD], labels={"test": "spread"})
    async def spread(self, input: Input) -> Found:
        await asyncio.sleep(2)
        return Found(text=os.environ["APPRUN_NODE_NAME"])

    @task(run_as_user=1234, fs_group=2345, host_aliases=[{"ip": "10.9.8.7", "hostnames": ["elsewhere.test"]}])
    async def user(self, input: Input) -> Found:
        line = next(line for line in read("/etc/hosts").splitlines() if "elsewhere.test" in line)
        return Found(text=f"{os.getuid()} {sorted(os.getgroups())} {line.split()[0]}")

    @task(cpu=("50m", "500m"), memory=("64Mi", "192Mi"), priority_class="shaped-low", termination_grace_seconds=7)
    async def amounts(self, input: Input) -> Found:
        return Found(text=str(resource.getrlimit(resource.RLIMIT_CORE)[0]))

    @task(spot=True)
    async def spot(self, input: Input) -> Found:
        await asyncio.sleep(2)
        return Found(text=os.environ["APPRUN_NODE_NAME"])

    @task(queue="team-a")
    async def queued(self, input: Input) -> Found:
        return Found(text="admitted")

    async def run(self, input: Wanted) -> Found:
        call = getattr(self, input.task)
        found = await asyncio.gather(*(call.keyed(str(number))(Input()) for number in range(input.times)))
        return Found(text=" | ".join(one.text for one in found))
