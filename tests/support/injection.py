"""A mutating admission webhook in the test's process: what a mesh, an agent for secrets or a batch queue does to pods.

The API server calls it over HTTPS, at this machine's address, for the pods of one namespace.
"""

from __future__ import annotations

import base64
import copy
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.bed import Bed
from tests.support.kube import Kube, Object
from tests.support.wire_server import make_certificate

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
CALL = "apprun.dev/call"

Mutation = Callable[[Object, Object], None]
"""Changes a pod's spec; its second argument is the call that the pod carries."""


@contextmanager
def injecting(bed: Bed, namespace: str, mutation: Mutation, folder: Path) -> Iterator[None]:
    """While it lasts, each pod of a call in that namespace is created as `mutation` leaves it."""
    certificate, key = make_certificate(folder, bed.host_address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer((bed.host_address, 0), _handler(mutation))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _configure(bed.kube, namespace, f"https://{bed.host_address}:{server.server_address[1]}/", certificate)
    try:
        yield
    finally:
        bed.kube.delete(f"{CONFIGURATIONS}/{namespace}")
        server.shutdown()
        server.server_close()


def _configure(kube: Kube, namespace: str, url: str, certificate: Path) -> None:
    hook = {
        "name": "injection.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "clientConfig": {"url": url, "caBundle": base64.b64encode(certificate.read_bytes()).decode()},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "objectSelector": {"matchExpressions": [{"key": "apprun.dev/attempt", "operator": "Exists"}]},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
    }
    kube.create(CONFIGURATIONS, {"metadata": {"name": namespace}, "webhooks": [hook]})


def _handler(mutation: Mutation) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            data = json.dumps(_answer(review["request"], mutation)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _answer(request: Object, mutation: Mutation) -> Object:
    response: Object = {"uid": request["uid"], "allowed": True}
    pod = request["object"]
    call = json.loads(pod["metadata"]["annotations"][CALL])
    spec = copy.deepcopy(pod["spec"])
    mutation(spec, call)
    if spec != pod["spec"]:
        patch = json.dumps([{"op": "replace", "path": "/spec", "value": spec}]).encode()
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
