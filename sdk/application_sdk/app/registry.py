"""All apps that were defined in this process, by name, and their tasks. Filled by `App` as classes are defined."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from application_sdk.errors import AppNotFoundError

if TYPE_CHECKING:
    from application_sdk.app.base import App
    from application_sdk.execution.definition import TaskDefinition


class AppRegistry:
    """The apps of this process. `AppRegistry.get_instance()` is the one that `App` fills."""

    _instance: ClassVar[AppRegistry | None] = None

    def __init__(self) -> None:
        self._apps: dict[str, dict[str, type[App]]] = {}

    @classmethod
    def get_instance(cls) -> AppRegistry:
        if cls._instance is None:
            cls._instance = AppRegistry()
        return cls._instance

    @classmethod
    def reset(cls) -> None:
        """Forget all apps. For tests."""
        cls.get_instance().restore({})

    def register(self, app: type[App]) -> None:
        """Called by `App` for each complete class. One that is defined again (a reload) replaces the earlier."""
        self._apps.setdefault(app.definition.name, {})[app.definition.entry] = app

    def get(self, name: str) -> type[App]:
        """The app of that name. Raises AppNotFoundError when there is none, or more than one."""
        found = list(self._apps.get(name, {}).values())
        if len(found) == 1:
            return found[0]
        if not found:
            raise AppNotFoundError(
                f"no app named {name!r} is defined; there are: {', '.join(self.list_apps()) or 'none'}"
            )
        where = "; ".join(f"{app.definition.entry} at {app.definition.line}" for app in found)
        raise AppNotFoundError(f"{len(found)} apps are named {name!r}: {where}. Give one of them a `name` of its own")

    def list_apps(self) -> list[str]:
        """The names, sorted."""
        return sorted(self._apps)

    def list_all(self) -> list[type[App]]:
        """The classes, in the order of their definition under each name."""
        return [app for name in self.list_apps() for app in self._apps[name].values()]

    def snapshot(self) -> dict[str, dict[str, type[App]]]:
        """A copy of the content, for `restore`."""
        return {name: dict(apps) for name, apps in self._apps.items()}

    def restore(self, content: dict[str, dict[str, type[App]]]) -> None:
        """Put back what `snapshot` returned."""
        self._apps = {name: dict(apps) for name, apps in content.items()}


class TaskRegistry:
    """The tasks of the registered apps: a view of `AppRegistry`, which keeps nothing itself."""

    @classmethod
    def get_instance(cls) -> TaskRegistry:
        return cls()

    @classmethod
    def reset(cls) -> None:
        """Forget all tasks, which are those of the registered apps: it forgets the apps. For tests."""
        AppRegistry.reset()

    def get(self, app_name: str, task_name: str) -> TaskDefinition:
        """The task. Raises AppNotFoundError."""
        return AppRegistry.get_instance().get(app_name).definition.task(task_name)

    def get_tasks_for_app(self, app_name: str) -> list[TaskDefinition]:
        return list(AppRegistry.get_instance().get(app_name).definition.tasks.values())

    def get_all_tasks(self) -> dict[str, list[TaskDefinition]]:
        registry = AppRegistry.get_instance()
        return {app.definition.name: list(app.definition.tasks.values()) for app in registry.list_all()}
