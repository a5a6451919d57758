"""What a pod finds of its own confinement, told by the code inside."""

import os
from pathlib import Path
from typing import Annotated

from application_sdk.app import App, task
from application_sdk.contracts import Input, MaxItems, Output


class Found(Output):
    uid: int = 0
    capabilities: str = ""
    no_new_privileges: str = ""
    seccomp: str = ""
    root_is_writable: bool = True
    tmp_is_writable: bool = False
    services: Annotated[list[str], MaxItems(100)] = []


def is_writable(folder: str) -> bool:
    try:
        (Path(folder) / "trace").write_text("x")
    except OSError:
        return False
    return True


class Confined(App):
    @task
    def look(self, input: Input) -> Found:
        lines = Path("/proc/self/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        return Found(
            uid=os.getuid(),
            capabilities=f"{status['CapPrm']} {status['CapEff']} {status['CapBnd']}",
            no_new_privileges=status["NoNewPrivs"],
            seccomp=status["Seccomp"],
            root_is_writable=any(map(is_writable, ("/", "/var/run", "/opt", str(Path.cwd())))),
            tmp_is_writable=is_writable("/tmp"),
            services=sorted(name for name in os.environ if name.endswith("_SERVICE_HOST")),
        )

    async def run(self, input: Input) -> Found:
        return await self.look(Input())
