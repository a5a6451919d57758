"""What of a pod is AppRun's own, so that no field of a user's may say it.

The SDK refuses it where a task is declared, the CRDs refuse it at `kubectl apply`, and the operator
leaves it out of every pod, whatever was stored.
"""

from __future__ import annotations

import re
from typing import Final

from application_sdk.wire import names

OWN_VARIABLE_PREFIX: Final = "APPRUN_"
OWN_VARIABLES: Final = ("PYTHONHASHSEED",)
"""Environment variables that AppRun sets under names that aren't its own."""
OWN_KEY_PREFIX: Final = f"{names.GROUP}/"
"""How the keys of AppRun's labels and annotations begin: the call is one of them."""
OWN_LABELS: Final = (names.MANAGED_BY_LABEL,)
"""Further labels that only the operator sets."""
FORBIDDEN_ANNOTATION_PREFIXES: Final = (
    "container.apparmor.security.beta.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "kubernetes.io/config.",
)
"""Annotations that change the security profile of a container, or make a pod one of a node's own."""

QUANTITY: Final = r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?"
"""A Kubernetes quantity, as far as AppRun takes it."""
CORE_RESOURCES: Final = ("cpu", "memory", "ephemeral-storage")
"""Resources that every node has. Of any other one the request is the limit, and drivers get none of
it from the App's defaults."""
GPU_RESOURCE: Final = "nvidia.com/gpu"
"""The resource that `gpu` stands for."""
MAX_GPUS: Final = 64
SHARED_MEMORY: Final = "/dev/shm"
"""Where `shm` is mounted."""

VOLUME_SOURCES: Final = (
    "persistentVolumeClaim",
    "ephemeral",
    "configMap",
    "secret",
    "projected",
    "emptyDir",
    "csi",
)
"""What a volume may be. Folders of the node are none of it: Pod Security `restricted` refuses them."""
MEDIA: Final = ("", "Memory")
"""Media of an emptyDir."""
MOUNT_PATH: Final = r"(/([A-Za-z0-9_-]|\.[A-Za-z0-9_-]|\.\.[A-Za-z0-9._-])[A-Za-z0-9._-]*)+"
"""An absolute path without `.`, `..` and empty parts."""
MAX_PATH_CHARACTERS: Final = 253
OWN_FOLDERS: Final = ("/var/run/secrets", "/run/secrets", "/apprun", "/proc", "/sys")
"""No volume is mounted at, below or above these. In most images /var/run is a link to /run, so the
token has two paths."""
TMP: Final = "/tmp"
DEV: Final = "/dev"
DEV_FOLDERS: Final = (SHARED_MEMORY, f"{DEV}/hugepages")
"""Folders of /dev that a volume may be mounted at."""
MAX_VOLUMES: Final = 16
MAX_PASSED_BYTES: Final = 8 * 1024
"""Limit of a value that only Kubernetes checks, in bytes of its JSON."""

AFFINITIES: Final = ("nodeAffinity", "podAffinity", "podAntiAffinity")
MAX_CONSTRAINTS: Final = 8
"""Limit of topology spread constraints."""
MAX_GRACE_SECONDS: Final = 3600
"""The longest time between SIGTERM and SIGKILL."""
MAX_ID: Final = 2**31 - 1
"""The largest number of a user or group. 0 is root, as whom no pod runs."""

QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
"""Label by which Kueue finds the queue of a pod."""
MAX_QUEUE_CHARACTERS: Final = 63

MAX_ENTRIES: Final = 64
"""Limit of entries in any list or map of a pod's fields."""
MAX_VALUE_CHARACTERS: Final = 4096
"""Limit of the value of an environment variable or annotation."""


def is_own_variable(name: str) -> bool:
    """Whether AppRun sets the environment variable itself, or may in a later version."""
    return name.startswith(OWN_VARIABLE_PREFIX) or name in OWN_VARIABLES


def is_own_label(key: str) -> bool:
    """Whether the label is set by the operator only."""
    return key.startswith(OWN_KEY_PREFIX) or key in OWN_LABELS


def is_own_annotation(key: str) -> bool:
    """Whether the annotation is AppRun's, or changes what a pod may do."""
    return key.startswith((OWN_KEY_PREFIX, *FORBIDDEN_ANNOTATION_PREFIXES))


def mount_path_fault(path: object) -> str:
    """Why no volume can be mounted at `path`, with what to use instead; empty if one can."""
    if not isinstance(path, str) or len(path) > MAX_PATH_CHARACTERS or not re.fullmatch(MOUNT_PATH, path):
        return "is no absolute path of letters, digits, _, - and . without . or .. as a part: write one such as /data"
    inside = any(path == folder or path.startswith(f"{folder}/") for folder in OWN_FOLDERS)
    above = any(folder.startswith(f"{path}/") for folder in OWN_FOLDERS)
    devices = (path == DEV or path.startswith(f"{DEV}/")) and path not in DEV_FOLDERS
    if inside or above or devices or path == TMP:
        return "is a folder that every pod has already, or that holds one: choose another path, such as /data"
    return ""
