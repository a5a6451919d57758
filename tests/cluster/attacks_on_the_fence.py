"""Attempts to report on a task that isn't one's own, or to write into one's own what is the operator's."""

from __future__ import annotations

from tests.cluster.attack_lines import (
    ANONYMOUS,
    APPLY,
    FINISHED,
    FORCED,
    MERGE,
    NOT_A_POD,
    NOT_CURRENT,
    NOT_YOURS,
    OPERATIONS,
    PLAIN,
    REPORT,
    STRATEGIC,
    Attack,
    apply,
    cannot,
    may,
    merge,
    operations,
)

OWN, PEER = "apptasks/{mine}/status", "apptasks/{peer}/status"
CANNOT_PATCH = "cannot patch resource"

ON_OTHERS = [
    *(
        merge("task", f"apptasks/{{{task}}}/status", REPORT, NOT_CURRENT)
        for task in ("peer", "sibling", "driver", "peer-driver", "moved", "done", "held")
    ),
    *(
        merge("driver", f"apptasks/{{{task}}}/status", REPORT, NOT_CURRENT)
        for task in ("mine", "peer", "sibling", "peer-driver", "done")
    ),
    *(
        merge(who, OWN, REPORT, NOT_CURRENT)
        for who in ("zombie", "finished", "waiting", "handler", "bystander", "own account", "next driver")
    ),
    merge("next driver", "apptasks/{driver}/status", REPORT, NOT_CURRENT),
    merge("successor", "apptasks/{mine}/status", REPORT, NOT_CURRENT),
    merge("loose", OWN, REPORT, NOT_A_POD),
    merge("loose driver", "apptasks/{driver}/status", REPORT, NOT_A_POD),
    merge("task", PEER, {"status": {"progress": {"done": 1}}}, NOT_CURRENT),
    merge("task", PEER, {"status": {"heartbeat": {"cursor": 1}}}, NOT_CURRENT),
    merge("task", PEER, {"status": {"error": {"type": "E", "message": "", "attempt": 1}}}, NOT_CURRENT),
    merge("task", PEER, {"status": {"log": {"attempt": 1, "tail": "forged"}}}, NOT_CURRENT),
    merge("task", "apptasks/{failed}/status", REPORT, FINISHED, 422),
    merge("task", PEER, {"status": {"state": [{"key": "k", "value": {}}]}}, NOT_CURRENT),
    merge("task", PEER, {"status": None}, NOT_CURRENT),
    merge("task", PEER, {}, NOT_CURRENT),
    merge("task", f"{PEER}?dryRun=All", REPORT, NOT_CURRENT),
    merge("task", f"{PEER}?fieldManager=apprun-operator", REPORT, NOT_CURRENT),
    merge("task", f"{PEER}?fieldValidation=Ignore", REPORT, NOT_CURRENT),
    merge("task", "apptasks/{mine}-2/status", REPORT, "not found", 404),
    merge("task", "apptasks/nothing/status", REPORT, "not found", 404),
    merge("task", "other:apptasks/{mine}/status", REPORT, CANNOT_PATCH),
    merge("stranger", OWN, REPORT, CANNOT_PATCH),
    merge("strange driver", "apptasks/{driver}/status", REPORT, CANNOT_PATCH),
    operations("task", PEER, NOT_CURRENT, ("replace", "/status/phase", "Succeeded")),
    operations("task", PEER, NOT_CURRENT, ("add", "/status/output", {"stolen": True})),
    operations("task", PEER, "attempt numbers only grow", ("remove", "/status/attempt", None), code=422),
    operations("task", PEER, NOT_CURRENT, ("add", "/status/heartbeat", None)),
    operations("task", PEER, "", ("test", "/status/phase", "Nonsense"), code=422),
    operations("task", PEER, NOT_CURRENT, ("copy", "/status/output", "/spec/input")),
    apply("task", PEER, {"metadata": {"name": "{peer}"}, **REPORT}, NOT_CURRENT),
    apply("zombie", "apptasks/{moved}/status", {"metadata": {"name": "{moved}"}, **REPORT}, NOT_CURRENT),
    apply("task", "apptasks/nothing/status", {"metadata": {"name": "nothing"}, **REPORT}, "", 404),
]

ZOMBIE = [
    *(
        merge("zombie", "apptasks/{moved}/status", {"status": change}, NOT_CURRENT)
        for change in (
            {"output": 1},
            {"phase": "Saving"},
            {"progress": {"done": 9, "total": 9}},
            {"heartbeat": {"n": 1}},
            {"node": "node9"},
            {"startedAt": "2026-01-01T00:00:00Z"},
            {"error": {"type": "E", "message": "late", "attempt": 1}},
            {"error": {"type": "E", "message": "as another", "attempt": 2}},
            {"log": {"attempt": 1, "tail": "late"}},
            {"continueWith": {"entrypoint": "run", "input": {}}},
            {"attempts": None},
        )
    ),
    merge("zombie", "apptasks/{moved}/status", {"status": {"attempt": 1}}, "attempt numbers only grow", 422),
    operations("zombie", "apptasks/{moved}/status", "only grow", ("replace", "/status/attempt", 1), code=422),
    operations("zombie", "apptasks/{moved}/status", NOT_CURRENT, ("remove", "/status/attempts", None)),
]

FINISHED_TASK = [
    *(
        merge("finished", "apptasks/{done}/status", {"status": change}, FINISHED)
        for change in (
            {"output": {"n": 2}},
            {"output": None},
            {"error": {"type": "E", "message": "", "attempt": 1}},
            {"heartbeat": {"n": 1}},
            {"log": {"attempt": 1, "tail": "late"}},
            {"state": [{"key": "k", "value": {}}]},
            {"continueWith": {"entrypoint": "run", "input": {}}},
            {"node": "node9"},
            {"finishedAt": "2026-01-01T00:00:09Z"},
        )
    ),
    merge("finished", "apptasks/{done}/status", {"status": {"phase": "Active"}}, FINISHED, 422),
    merge("finished", "apptasks/{done}/status", {"status": {"phase": "Saving"}}, FINISHED, 422),
    operations("finished", "apptasks/{done}/status", FINISHED, ("remove", "/status/output", None)),
    operations("finished", "apptasks/{done}/status", FINISHED, ("replace", "/status/output/n", 2)),
    operations("finished", "apptasks/{done}/status", FINISHED, ("move", "/status/heartbeat", "/status/output")),
    merge("given up", "apptasks/{failed}/status", REPORT, FINISHED, 422),
    merge("given up", "apptasks/{failed}/status", {"status": {"output": 1}}, FINISHED),
    merge("given up", "apptasks/{failed}/status", {"status": {"error": None}}, FINISHED),
    may("finished", "PATCH", "apptasks/{done}/status", {"status": {"output": {"n": 1}}}, MERGE),
]

OWN_TASK = [
    # What is the operator's, in every way in which it can be written.
    operations("task", OWN, NOT_YOURS, ("replace", "/status/phase", "Failed")),
    operations("task", OWN, NOT_YOURS, ("replace", "/status/phase", "Cancelled")),
    operations("task", OWN, NOT_YOURS, ("replace", "/status/attempt", 2)),
    operations("task", OWN, NOT_YOURS, ("add", "/status/message", "mine")),
    operations("task", OWN, NOT_YOURS, ("add", "/status/notBefore", "2030-01-01T00:00:00Z")),
    operations("task", OWN, NOT_YOURS, ("add", "/status/attempts", [])),
    operations("task", OWN, NOT_YOURS, ("move", "/status/message", "/status/phase")),
    operations("waiting", "apptasks/{held}/status", NOT_YOURS, ("remove", "/status/message", None)),
    operations("waiting", "apptasks/{held}/status", NOT_YOURS, ("replace", "/status/phase", "Active")),
    merge("waiting", "apptasks/{held}/status", {"status": {"phase": "Active"}}, NOT_YOURS),
    apply("task", OWN, {"metadata": {"name": "{mine}"}, "status": {"phase": "Failed"}}, NOT_YOURS),
    apply("task", OWN, {"metadata": {"name": "{mine}"}, "status": {"attempt": 7}}, NOT_YOURS),
    apply("task", OWN, {"metadata": {"name": "{mine}"}, "status": {"message": "mine"}}, NOT_YOURS),
    merge("successor", "apptasks/{moved}/status", {"status": {"attempts": []}}, NOT_YOURS),
    merge("successor", "apptasks/{moved}/status", {"status": {"attempt": 1}}, "attempt numbers only grow", 422),
    merge("task", OWN, {"status": {"error": {"type": "E", "message": ""}}}, "an error names the attempt"),
    merge("task", OWN, {"status": {"log": {"attempt": 9, "tail": ""}}}, "a log names the attempt"),
    merge("driver", "apptasks/{driver}/status", {"status": {"phase": "Failed"}}, NOT_YOURS),
    merge("driver", "apptasks/{driver}/status", {"status": {"message": "mine"}}, NOT_YOURS),
    # Who it is and whose it is.
    operations("task", OWN, "", ("replace", "/metadata/name", "{peer}"), code=400),
    operations("task", OWN, "", ("replace", "/metadata/namespace", "{elsewhere}"), code=400),
    operations("task", OWN, "", ("replace", "/metadata/resourceVersion", "1"), code=409),
    merge("task", OWN, {"metadata": {"name": "{peer}"}, **REPORT}, "", 400),
    merge("task", OWN, {"metadata": {"resourceVersion": "1"}, **REPORT}, "", 409),
    # Other ways to the same object.
    cannot("task", "PUT", OWN, {"metadata": {"name": "{mine}"}, **REPORT}),
    cannot("task", "PATCH", "apptasks/{mine}", {"metadata": {"labels": {"a": "b"}}}),
    cannot("task", "PATCH", "apptasks/{mine}", {"metadata": {"finalizers": ["apprun.dev/hang"]}}),
    cannot("task", "PATCH", "apptasks/{mine}", {"metadata": {"ownerReferences": []}}),
    cannot("task", "PATCH", "apptasks/{mine}", {"metadata": {"annotations": {"a": "b"}}}),
    cannot("task", "PATCH", "apptasks/{mine}", {"spec": {"input": {}}}),
    cannot("task", "PUT", "apptasks/{mine}", {"metadata": {"name": "{mine}"}}),
    cannot("task", "DELETE", "apptasks/{mine}"),
    cannot("task", "DELETE", "apptasks/{peer}"),
    cannot("task", "DELETE", "apptasks", verb="deletecollection"),
    cannot("task", "DELETE", OWN),
    cannot("task", "GET", OWN),
    cannot("task", "PATCH", "apptasks/{mine}/scale", {"spec": {"replicas": 9}}),
    cannot("task", "POST", "apptasks/{mine}/status", REPORT),
    Attack("task", "PATCH", f"{OWN}{FORCED}", REPORT, 415, "", STRATEGIC),
    Attack("task", "PATCH", OWN, REPORT, 415, "", PLAIN),
    Attack("task", "PATCH", OWN, "status: {phase: Failed}", 415, "", "application/yaml"),
    Attack("task", "PATCH", OWN, "status: {phase: Failed}", 415, "", "text/plain"),
    Attack("task", "PATCH", OWN, "{", 400, "", MERGE),
    Attack("task", "PATCH", OWN, {"op": "replace"}, 400, "", OPERATIONS),
    Attack("task", "PATCH", OWN, "status: {}", 422, "fieldManager: Required", APPLY),
    Attack("task", "PATCH", f"{OWN}{FORCED}", "not: [yaml", 400, "", APPLY),
    merge("task", "apptasks/{mine}/status/", {"status": {"phase": "Failed"}}, NOT_YOURS),
    merge("task", "apptasks/{mine}/../{peer}/status", REPORT, CANNOT_PATCH),
    merge("task", "apptasks/{mine}%2F..%2F{peer}/status", REPORT, CANNOT_PATCH),
    # The API server stops at the subresource: whose rights it has looked up, that one it writes.
    merge("task", "apptasks/{mine}/status/../../{peer}/status", {"status": {"phase": "Failed"}}, NOT_YOURS),
    merge("task", "apptasks/{peer}/status/../../{mine}/status", REPORT, NOT_CURRENT),
    merge("task", "apptasks//{peer}/status", REPORT, CANNOT_PATCH),
    merge("task", "/apis/apprun.dev/v1/namespaces/{ns}/apptasks/{mine}/status", REPORT, "", 404),
    merge("task", "/apis/apprun.dev/v1alpha1/apptasks/{mine}/status", REPORT, CANNOT_PATCH),
    merge("task", "/apis/apprun.dev/v1alpha1/watch/namespaces/{ns}/apptasks/{mine}/status", REPORT, "cannot watch"),
]

AS_SOMEBODY_ELSE = [
    Attack("task", "PATCH", PEER, REPORT, 403, "cannot impersonate resource", MERGE, headers)
    for headers in (
        {"Impersonate-User": "{operator}"},
        {"Impersonate-User": "system:admin", "Impersonate-Group": "system:masters"},
        {"Impersonate-User": "system:serviceaccount:{ns}:apprun-task"},
        {
            "Impersonate-User": "system:serviceaccount:{ns}:apprun-task",
            "Impersonate-Extra-authentication.kubernetes.io%2Fpod-name": "{peer-pod}",
        },
    )
] + [
    Attack("task", "PATCH", PEER, REPORT, 403, NOT_CURRENT, MERGE, headers)
    for headers in (
        {"X-Remote-User": "{operator}", "X-Remote-Group": "system:masters"},
        {"X-Remote-Extra-Authentication.kubernetes.io%2fpod-name": "{peer-pod}"},
        {"X-Forwarded-User": "{operator}", "X-Original-URI": "/healthz"},
        {"X-HTTP-Method-Override": "GET"},
    )
] + [
    Attack(who, "PATCH", OWN, REPORT, 401, "Unauthorized", MERGE)
    for who in ("garbage", "narrow")
] + [
    Attack("nobody", "PATCH", OWN, REPORT, ANONYMOUS, "", MERGE, {"Authorization": header})
    for header in ("Basic YWRtaW46YWRtaW4=", "Bearer null", "Bearer undefined")
]  # fmt: skip

ALMOST_THE_OPERATOR = [
    merge(who, target, body, words)
    for who in ("namesake", "namesake elsewhere", "upper case", "with a slash", "without prefix", "node", "root")
    for target, body, words in (
        (OWN, REPORT, NOT_A_POD),
        (
            "appruns/idle/status",
            {"status": {"message": "mine"}},
            "the status of apps and runs is written by the operator",
        ),
    )
]

RIGHT = [
    merge("free0", "apptasks/{free0}/status", {"status": {"progress": {"done": 1, "total": 2}}}, "", 200),
    operations("free1", "apptasks/{free1}/status", "", ("add", "/status/heartbeat", {"n": 1}), code=200),
    apply("free2", "apptasks/{free2}/status", {"metadata": {"name": "{free2}"}, "status": {"node": "n"}}, "", 200),
    merge("free3", "apptasks/{free3}/status", REPORT, "", 200),
    operations("free4", "apptasks/{free4}/status", "", ("replace", "/status/phase", "Succeeded"), code=200),
    merge("free5", "apptasks/{free5}/status?dryRun=All", REPORT, "", 200),
    merge("free6", "apptasks/{free6}/status", {"status": {"phase": "Saving", "output": 1}}, "", 200),
    merge("free7", "apptasks/{free7}/status", {"status": {"log": {"attempt": 1, "tail": "x"}}}, "", 200),
    merge("free8", "apptasks/{free8}/status", {"metadata": {"labels": {"a": "b"}}, "spec": {"input": {}}}, "", 200),
    # Of what isn't the status, a write of the status changes nothing, whatever the answer.
    merge("free9", "apptasks/{free9}/status", {"metadata": {"uid": "{peer-uid}", "labels": {"a": "b"}}}, "", 200),
    operations("free10", "apptasks/{free10}/status", "", ("replace", "/metadata/uid", "{peer-uid}"), code=200),
    operations("free11", "apptasks/{free11}/status", "", ("replace", "/kind", "AppRun"), code=200),
    operations("free12", "apptasks/{free12}/status", "", ("remove", "/metadata/ownerReferences", None), code=200),
    operations(
        "free13", "apptasks/{free13}/status", "", ("add", "/metadata/finalizers", ["apprun.dev/hang"]), code=200
    ),
]

FENCE = [
    *ON_OTHERS, *ZOMBIE, *FINISHED_TASK, *OWN_TASK, *AS_SOMEBODY_ELSE, *ALMOST_THE_OPERATOR, *RIGHT,
]  # fmt: skip
