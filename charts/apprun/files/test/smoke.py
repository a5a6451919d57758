"""`helm test`: starts a run of the App beside it, waits for its end, and says what became of it."""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
NAMESPACE = os.environ["NAMESPACE"]
NAME = os.environ["RUN"]
SECONDS = int(os.environ["SECONDS_TO_WAIT"])
HOST = os.environ["KUBERNETES_SERVICE_HOST"]
SERVER = f"https://{f'[{HOST}]' if ':' in HOST else HOST}:{os.environ['KUBERNETES_SERVICE_PORT']}"
RUNS = f"{SERVER}/apis/apprun.dev/v1alpha1/namespaces/{NAMESPACE}/appruns"
RUN = {
    "apiVersion": "apprun.dev/v1alpha1",
    "kind": "AppRun",
    "metadata": {"name": NAME},
    "spec": {"appRef": {"name": os.environ["APP"]}, "input": {"name": "Helm"}},
}


def call(method, path, body=None):
    token = (ACCOUNT / "token").read_text()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(path, data, headers, method=method)
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=20, context=trust) as answer:
        return json.load(answer)


def main():
    try:
        call("POST", RUNS, RUN)
    except urllib.error.HTTPError as error:
        return f"the API server refuses the run: {error.read().decode()}"
    deadline = time.monotonic() + SECONDS
    status = {}
    while time.monotonic() < deadline:
        try:
            status = call("GET", f"{RUNS}/{NAME}").get("status", {})
        except OSError as error:
            print(f"trying again: {error}", flush=True)
        if status.get("phase") in ("Succeeded", "Failed", "Cancelled", "Stalled"):
            break
        time.sleep(1)
    message = status.get("message") or "no status at all: is the operator running?"
    print(f"{NAME}: {status.get('phase', 'not taken up')}: {status.get('output') or message}", flush=True)
    if status.get("phase") != "Succeeded":
        return f"the run isn't Succeeded; look at it: kubectl describe apprun {NAME} -n {NAMESPACE}"
    call("DELETE", f"{RUNS}/{NAME}")
    return None


sys.exit(main())
