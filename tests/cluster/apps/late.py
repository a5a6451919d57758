"""An app whose task won't stop: asked to, it goes on to report by itself until the API server refuses or takes that."""

import asyncio
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output

CODE = "old"
IDENTITY = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Nothing(Input):
    pass


class Answer(Output):
    code: str = ""


def send(method: str, path: str, body: object, content: str) -> tuple[int, str]:
    namespace = (IDENTITY / "namespace").read_text()
    host = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    request = urllib.request.Request(
        f"{host}{path.format(namespace=namespace)}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {(IDENTITY / 'token').read_text()}", "Content-Type": content},
        method=method,
    )
    try:
        context = ssl.create_default_context(cafile=str(IDENTITY / "ca.crt"))
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["message"]


def insist() -> None:
    """Report on the AppTask of the name, whoever's it is by now, and tell what came of it."""
    name = json.loads((IDENTITY / "call").read_text())["appTask"]
    report = {"status": {"phase": "Succeeded", "output": {"code": CODE}}}
    path = f"/apis/apprun.dev/v1alpha1/namespaces/{{namespace}}/apptasks/{name}/status"
    deadline, code, message = time.monotonic() + 25, 404, "nobody answered"
    while code == 404 and time.monotonic() < deadline:
        time.sleep(0.2)
        code, message = send("PATCH", path, report, "application/merge-patch+json")
    told = {"metadata": {"name": "told"}, "data": {"code": str(code), "message": message}}
    send("POST", "/api/v1/namespaces/{namespace}/configmaps", told, "application/json")


class Late(App):
    @task
    async def work(self, input: Nothing) -> Answer:
        if CODE == "old":
            self.task_context.progress(message="at work")
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                await asyncio.to_thread(insist)
        else:
            await asyncio.sleep(5)
        return Answer(code=CODE)

    async def run(self, input: Nothing) -> Answer:
        return await self.work(input)
