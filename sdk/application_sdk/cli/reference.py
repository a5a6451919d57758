"""The pages of the documentation that are made of this package: `docs/cli.md` and `docs/reasons.md`.

`make generate` writes them, `make lint` says when they are stale. Commands are read from the parser that runs them,
reasons from the table behind `apprun describe`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from application_sdk.cli import exit_codes
from application_sdk.cli.commands import verbs
from application_sdk.cli.options import TARGET_OPTIONS
from application_sdk.cli.views.reason_help import APP, ATTEMPT, RUN, Remedy

if TYPE_CHECKING:
    from typer.core import TyperArgument, TyperCommand, TyperOption

DOCS: Final = Path(__file__).resolve().parents[3] / "docs"

_CLI_HEAD: Final = """# Command line

<!-- Made by `make generate` from sdk/application_sdk/cli. Don't edit. -->

An installed AppRun brings `apprun`, and the same as a plugin of kubectl: `kubectl apprun …`. Credentials that
stand in the kubeconfig need nothing else; credential plugins, as clouds use them, and several kubeconfigs in one
`$KUBECONFIG` need `pip install '/path/to/apprun[kubeconfig]'`. `apprun --install-completion` makes your shell complete
commands, options, runs, apps, contexts and namespaces; kubectl's own completion does so for `kubectl apprun`. Of
proxies in a kubeconfig (`proxy-url`) those with `http://` are known.

## Which runs

Runs of this machine and runs of a cluster answer to the same verbs with the same output. Which are meant:

1. `--local` is this machine. `--cluster`, `--context`, `-n` and `--kubeconfig` are a cluster, found as kubectl
   finds it.
2. Without these, `kubectl apprun` is a cluster, and `$APPRUN_PLACE` may be `local` or `cluster`.
3. Without that, a run is looked for on this machine first. If it isn't there and there is a kubeconfig, on the
   cluster of the current context. `list` lists this machine's, or the cluster's when this machine has none. Nobody
   is asked over the network about a run that this machine has. Each answer says where it is from.

`run` and `retry` are this machine's; `deploy`, `submit`, `suspend` and `doctor` a cluster's. In a pod without a
kubeconfig the pod's service account is used.

Where a verb only looks, the first letters of a run's name are enough if they are those of one run only, and
`@latest` is the newest. Verbs that change something want the whole name.

## Output

Results go to standard output, everything else to standard error. `-o json` and `-o yaml` are for programs, and
their fields stay; errors come in the same form, as `error.type` and `error.message`. `-o name` prints names alone:
`apprun logs -f $(apprun submit hello -o name)`. `-o wide` tells more, text is for people and may change. Colours
and tables that keep themselves current are for terminals only; `NO_COLOR` is heeded.

## Exit codes

| code | meaning |
| --- | --- |
"""
_REASONS_HEAD: Final = """# Reasons

<!-- Made by `make generate` from sdk/application_sdk/cli/views/reason_help.py. Don't edit. -->

What the words in conditions, messages and attempts mean, and what to do. `apprun describe RUN` says the same of one
run, with its messages, tracebacks and the end of the log. By symptom:
[troubleshooting](operations/troubleshooting.md).

## Why a run or a call is where it is

In the `Ready` condition of the AppRun, in its message, in the message of an AppTask that is `Waiting`.

"""
_APPS_HEAD: Final = """
## Why an App isn't ready

In the `Ready` and `Inspected` conditions of the App, and in `kubectl get apps`. What keeps a run's pods from starting
keeps an inspection from it too, under the same word; `TimedOut` is an import that takes longer than a minute.

"""

_ATTEMPTS_HEAD: Final = """
## Why an attempt ended

In `status.attempts` of an AppTask, and beneath the call in `apprun show`. Any other word is the class of an
exception that the task's own code raised.

"""


def cli_page() -> str:
    """`docs/cli.md`."""
    return "".join([_CLI_HEAD, *_exit_rows(), "\n", *_command_sections()])


def reasons_page() -> str:
    """`docs/reasons.md`."""
    return "".join(
        [_REASONS_HEAD, *_reason_rows(RUN), _ATTEMPTS_HEAD, *_reason_rows(ATTEMPT), _APPS_HEAD, *_reason_rows(APP)]
    )


def _exit_rows() -> Iterator[str]:
    source = Path(exit_codes.__file__).read_text("utf-8")
    meanings = dict(re.findall(r'^([A-Z_]+): Final = \d+\n"""(.*?)"""', source, re.MULTILINE | re.DOTALL))
    yield "| 0 | it went well; of a run that was waited for: it succeeded |\n"
    codes = {name: value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    for name, code in sorted(codes.items(), key=lambda item: item[1]):
        if code:
            yield f"| {code} | {' '.join(meanings[name].split())} |\n"


def _command_sections() -> Iterator[str]:
    import typer

    from application_sdk.cli.program import program

    group = typer.main.get_group(program)
    sections: dict[str, list[str]] = {}
    for name, command in group.commands.items():
        if not command.hidden:
            panel = getattr(command, "rich_help_panel", "") or ""
            sections.setdefault(panel, []).append(_command(name, cast("TyperCommand", command)))
    for panel in (verbs.LOCAL_PANEL, verbs.SHARED_PANEL, verbs.CLUSTER_PANEL, verbs.CHECK_PANEL):
        yield f"## {panel}\n\n"
        yield from sections[panel]


def _command(name: str, command: TyperCommand) -> str:
    import typer

    context = typer.Context(command, info_name=name)
    every = cast("list[TyperArgument | TyperOption]", command.get_params(context))
    params = [param for param in every if param.name != "help"]
    usage = " ".join(part for param in params if (part := _usage(param)))
    text = [f"### apprun {name}\n\n", f"`apprun {name}{' ' if usage else ''}{usage} [OPTIONS]`\n\n"]
    text.append(f"{_plain(command.help or '')}\n\n")
    rows = [_row(param) for param in params if param.name not in TARGET_OPTIONS]
    rows.append(_target_row([param for param in params if param.name in TARGET_OPTIONS]))
    if rows:
        text += ["| | |\n", "| --- | --- |\n", *rows, "\n"]
    return "".join(text)


def _usage(param: TyperArgument | TyperOption) -> str:
    if param.param_type_name != "argument":
        return ""
    name = param.make_metavar_name() if hasattr(param, "make_metavar_name") else (param.metavar or param.name or "")
    return name if param.required else f"[{name}]"


def _row(param: TyperArgument | TyperOption) -> str:
    text = _plain(str(getattr(param, "help", "") or ""))
    if param.param_type_name == "argument":
        return f"| `{param.metavar}` | {text} |\n"
    takes = "" if getattr(param, "is_flag", False) else f" {_metavar(param)}"
    return f"| `{', '.join([*param.opts, *param.secondary_opts])}{takes}` | {text}{_default(param)} |\n"


def _target_row(params: Sequence[TyperArgument | TyperOption]) -> str:
    """The options that say where runs are: the same everywhere, so by name only."""
    names = ", ".join(f"`{option}`" for param in params for option in [*param.opts, *param.secondary_opts])
    return f"| {names} | [Which runs](#which-runs). |\n" if names else ""


def _metavar(param: TyperArgument | TyperOption) -> str:
    choices = getattr(param.type, "choices", None)
    if choices:
        return "|".join(str(getattr(choice, "value", choice)) for choice in choices).replace("|", "\\|")
    plain = {"int": "N", "float": "SECONDS"}.get(param.type.name.split()[0], "TEXT")
    return (param.metavar or plain).replace("|", "\\|")


def _default(param: TyperArgument | TyperOption) -> str:
    default = param.default
    if default in (None, False, "", True) or callable(default) or not isinstance(default, (str, int, float)):
        return ""
    return f" Default: `{getattr(default, 'value', default)}`."


def _plain(text: str) -> str:
    """Rich's marks as Markdown's."""
    joined = "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
    return re.sub(r"\[bold\](.*?)\[/\]", r"`\1`", joined).replace("|", "\\|")


def _reason_rows(remedies: Mapping[str, Remedy]) -> Iterator[str]:
    yield "| reason | what is the matter | what to do |\n| --- | --- | --- |\n"
    for reason, remedy in sorted(remedies.items()):
        action = remedy.action.replace("{run}", "RUN").replace("{app}", "APP").replace("{task}", "TASK")
        yield f"| `{reason}` | {remedy.cause} | {action} |\n"


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say which are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is stale")
    check = parser.parse_args(arguments).check
    stale = False
    for name, text in (("cli.md", cli_page()), ("reasons.md", reasons_page())):
        path = DOCS / name
        if check and (not path.is_file() or path.read_text("utf-8") != text):
            sys.stderr.write(f"{path} is stale: `make generate`\n")
            stale = True
        elif not check:
            path.write_text(text, "utf-8")
    return int(stale)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
