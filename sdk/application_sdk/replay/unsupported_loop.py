"""The parts of an asyncio event loop that a route can't have: sockets, processes, threads, signals. All are refused.

`replay.loop` builds on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

from typing_extensions import override


class NoInputOutput(asyncio.AbstractEventLoop):
    """Refuses, by the function it is given, what reaches out of the route."""

    def __init__(self, refuse: Callable[[str], NoReturn]) -> None:
        self._refuse = refuse

    # The loop itself

    @override
    def run_until_complete(self, future: object) -> NoReturn:
        self._refuse("loop.run_until_complete() in the route, whose loop runs already")

    @override
    def run_forever(self) -> NoReturn:
        self._refuse("loop.run_forever() in the route, whose loop runs already")

    @override
    def stop(self) -> NoReturn:
        self._refuse("loop.stop() in the route")

    @override
    async def shutdown_asyncgens(self) -> None:
        """Done by whoever runs the route."""

    @override
    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""

    @override
    def set_task_factory(self, factory: object) -> NoReturn:
        self._refuse("loop.set_task_factory() in the route, whose order rests on tasks of its own kind")

    # Threads and signals

    @override
    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> NoReturn:  # type: ignore[override] # type variables of callback and args
        self._refuse("a result from another thread in the route")

    @override
    def run_in_executor(self, executor: object, func: Callable[..., object], *args: object) -> NoReturn:
        # asyncio.to_thread() wraps what it is given.
        inner = getattr(func, "args", (func,))[0] if hasattr(func, "args") and func.args else func
        self._refuse(f"{getattr(inner, '__name__', 'a function')}() run in a thread in the route")

    @override
    def set_default_executor(self, executor: object) -> NoReturn:
        self._refuse("an executor in the route")

    @override
    def add_signal_handler(self, *args: Any, **kwargs: Any) -> NoReturn:  # type: ignore[override] # type variables of callback and args
        self._refuse("a signal handler in the route")

    @override
    def remove_signal_handler(self, sig: int) -> NoReturn:
        self._refuse("a signal handler in the route")

    # Names, sockets and files

    @override
    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a name looked up in the route")

    @override
    async def getnameinfo(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a name looked up in the route")

    @override
    async def create_connection(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a connection opened in the route")

    @override
    async def create_unix_connection(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a connection opened in the route")

    @override
    async def create_server(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a server started in the route")

    @override
    async def create_unix_server(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a server started in the route")

    @override
    async def connect_accepted_socket(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a connection accepted in the route")

    @override
    async def create_datagram_endpoint(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a socket opened in the route")

    @override
    async def start_tls(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a connection used in the route")

    @override
    async def sendfile(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a file sent in the route")

    @override
    async def sock_sendfile(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a file sent in the route")

    @override
    async def sock_recv(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a socket used in the route")

    @override
    async def sock_recv_into(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a socket used in the route")

    @override
    async def sock_recvfrom(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a socket used in the route")

    @override
    async def sock_recvfrom_into(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a socket used in the route")

    @override
    async def sock_sendto(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a socket used in the route")

    @override
    async def sock_sendall(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a socket used in the route")

    @override
    async def sock_connect(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a socket used in the route")

    @override
    async def sock_accept(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a socket used in the route")

    @override
    def add_reader(self, *args: Any, **kwargs: Any) -> NoReturn:  # type: ignore[override] # type variables of callback and args
        self._refuse("a file descriptor watched in the route")

    @override
    def remove_reader(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a file descriptor watched in the route")

    @override
    def add_writer(self, *args: Any, **kwargs: Any) -> NoReturn:  # type: ignore[override] # type variables of callback and args
        self._refuse("a file descriptor watched in the route")

    @override
    def remove_writer(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a file descriptor watched in the route")

    @override
    async def connect_read_pipe(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a pipe opened in the route")

    @override
    async def connect_write_pipe(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a pipe opened in the route")

    # Processes

    @override
    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a process started in the route")

    @override
    async def subprocess_shell(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a process started in the route")
