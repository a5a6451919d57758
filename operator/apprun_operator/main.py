"""Puts the operator together and runs it until SIGTERM. Reads the environment, once; nothing else does."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web

from application_sdk.wire import names
from apprun_operator import health
from apprun_operator.act.app_executor import AppExecutor
from apprun_operator.act.executor import RESOURCES, Executor
from apprun_operator.act.service_account_sync import ServiceAccountSync
from apprun_operator.act.service_accounts import ServiceAccounts
from apprun_operator.gc_tuning import tune_gc
from apprun_operator.kube.client import Client, KubeApi
from apprun_operator.kube.credentials import Cluster, NoClusterError, load
from apprun_operator.leader.elector import AlwaysLeader, LeaderElectionThread, LeaderElector, local_clock
from apprun_operator.leader.fenced_client import FencedClient
from apprun_operator.leader.gate import LeaderGate
from apprun_operator.leader.lease import Election
from apprun_operator.observe.cache import Cache
from apprun_operator.observe.informer import Informer, silence_by_kind
from apprun_operator.observe.kinds import Kind
from apprun_operator.observe.kopf_events import KopfThread
from apprun_operator.observe.kopf_feed import KopfFeed
from apprun_operator.reconcile.app_worker import AppWorker
from apprun_operator.reconcile.run_worker import RunWorker
from apprun_operator.reconcile.workqueue import KeyQueue
from apprun_operator.settings import Settings, SettingsError, from_environment
from apprun_operator.telemetry import logs
from apprun_operator.telemetry.loop_lag import measure_lag
from apprun_operator.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

WATCHED: Final[tuple[Kind, ...]] = ("apptasks", "appledgers", "appstates", "pods")
"""Made by machines, in great numbers: an informer of our own."""
LISTED: Final[tuple[Kind, ...]] = ("apps", "appruns")
"""Made by people: kopf brings their events. A list at the start and now and then finds what those missed."""
RELIST_SECONDS: Final = 300.0
RELIST_SECONDS_WITHOUT_KOPF: Final = 5.0
STOP_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Components:
    """What works in the process, and what it works with."""

    queue: KeyQueue
    cache: Cache
    metrics: Metrics
    worker: RunWorker
    app_queue: KeyQueue
    app_worker: AppWorker
    account_sync: ServiceAccountSync
    watching: list[Informer]
    listing: list[Informer]


def main() -> int:
    """The process. Its exit code is 2 when it is set up wrongly."""
    try:
        settings = from_environment(os.environ)
        cluster = load(os.environ)
    except (SettingsError, NoClusterError) as error:
        sys.stderr.write(f"apprun-operator: {error}\n")
        return 2
    logs.set_up(settings.log_level, settings.log_format)
    tune_gc()
    asyncio.run(_serve(settings, cluster))
    return 0


async def _serve(settings: Settings, cluster: Cluster) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics(settings.metrics_max_apps)
    client = Client(cluster, metrics.requested)
    lease = _lease(settings, cluster, metrics)
    gate = LeaderGate(lease.elector if lease else AlwaysLeader())
    components = build(settings, client, gate, metrics)
    feed = _feed(loop, components)
    kopf_thread = KopfThread(feed, settings.namespaces)
    alive = {"kopf": lambda: kopf_thread.alive}
    needed: dict[str, Callable[[], bool]] = {}
    if lease is not None:
        alive["lease"] = lambda: lease.alive
        needed["lease"] = lambda: lease.elector.has_read_lease
    site = web.AppRunner(
        health.application([*components.watching, *components.listing], alive, components.metrics, needed),
        handle_signals=False,
        access_log=None,  # the kubelet asks every two seconds
    )
    await site.setup()
    await web.TCPSite(site, port=settings.port).start()
    kopf_thread.start()
    if lease is not None:
        lease.start()
    work_of_replica = run(settings, components, lambda: kopf_thread.works, gate)
    running = asyncio.create_task(_together(feed.run(), work_of_replica))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    logger.info("stopping")
    failed = running.done()
    running.cancel()
    stopping.cancel()
    await asyncio.gather(running, stopping, return_exceptions=True)
    if lease is not None:
        # All work has ended, so the next replica may begin: a roll-out costs no more than its next look.
        await asyncio.to_thread(lease.stop, STOP_SECONDS)
    components.queue.close()
    components.app_queue.close()
    await asyncio.to_thread(kopf_thread.stop, STOP_SECONDS)
    await site.cleanup()
    await client.close()
    if failed:
        # Only a bug ends it. A new process starts from what the API server holds, as after any crash.
        running.result()


async def run(settings: Settings, components: Components, kopf_works: Callable[[], bool], gate: LeaderGate) -> None:
    """Informers, and in each term workers, once all that they plan with is known. `kopf_works` says whether somebody
    else brings the events of Apps and AppRuns."""

    def pause() -> float:
        return RELIST_SECONDS if kopf_works() else RELIST_SECONDS_WITHOUT_KOPF

    async with asyncio.TaskGroup() as group:
        for informer in components.watching:
            group.create_task(informer.run())
        for informer in components.listing:
            group.create_task(informer.relist(pause))
        group.create_task(measure_lag(components.metrics.lagged))
        for informer in (*components.watching, *components.listing):
            await informer.synced.wait()
        logger.info("ready: %s", dict(components.cache.sizes()))
        await gate.run(lambda: work(settings, components))


async def work(settings: Settings, components: Components) -> None:
    """One term, until cancelled."""
    if settings.lease is not None:
        # The leader before may have done more than our watches have told yet: a call that is committed and whose pod is
        # gone would look like one that waits for its pod.
        await asyncio.gather(*(informer.resync() for informer in (*components.watching, *components.listing)))
    components.worker.start_term()
    known = components.cache.keys()
    for key in known:
        # What an earlier term had begun is planned anew.
        components.queue.put(key)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(settings.workers):
                group.create_task(components.worker.run())
            components.app_worker.start_term()
            group.create_task(components.app_worker.run())
            group.create_task(components.account_sync.run())
    finally:
        await components.worker.stop()


def _lease(settings: Settings, cluster: Cluster, metrics: Metrics) -> LeaderElectionThread | None:
    if settings.lease is None:
        return None
    elector = LeaderElector(settings.lease, Election(settings.identity), local_clock, time.time, cluster.account)
    return LeaderElectionThread(elector, partial(Client, cluster, metrics.requested))


def build(
    settings: Settings,
    client: KubeApi,
    gate: LeaderGate,
    metrics: Metrics,
    clock: Callable[[], float] = time.time,
    ticks: Callable[[], float] = time.monotonic,
) -> Components:
    """All that plans and acts, put together over one connection. `clock` tells the time of day. `ticks` is a clock that
    nobody sets: silence is measured with it, and a corrected time of day is no silence."""
    queue, app_queue = KeyQueue(), KeyQueue()
    cache = Cache(queue.put, clock, app_queue.put)
    metrics.watch_sizes(cache.sizes, queue.__len__)
    metrics.watch_unreadable(cache.unreadable)
    metrics.watch_leadership(lambda: gate.is_leading)
    metrics.watch_runs(cache.survey, lambda: gate.is_leading)
    api = FencedClient(client, gate.may_write)
    accounts = ServiceAccounts(
        api,
        settings.driver_role,
        settings.task_role,
        settings.handler_role,
        preinstalled=settings.accounts_preinstalled,
    )
    executor = Executor(api, cache, accounts, settings.identity or "apprun-operator")
    worker = RunWorker(queue, cache, executor, settings.limits, metrics, clock, random.random)
    app_executor = AppExecutor(api, cache, accounts, executor, clock)
    app_worker = AppWorker(app_queue, cache, app_executor, settings.limits, clock, random.random)

    def informers(kinds: tuple[Kind, ...]) -> list[Informer]:
        return [
            Informer(
                client,
                cache,
                kind,
                RESOURCES[kind],
                namespace=namespace,
                selector=f"{names.MANAGED_BY_LABEL}={names.MANAGED_BY}" if kind == "pods" else "",
                jitter=random.random,
                clock=ticks,
            )
            for kind in kinds
            for namespace in settings.namespaces or ("",)
        ]

    watching, listing = informers(WATCHED), informers(LISTED)
    metrics.watch_silence(partial(silence_by_kind, [*watching, *listing]))
    account_sync = ServiceAccountSync(cache, accounts, clock, metrics.failed)
    return Components(queue, cache, metrics, worker, app_queue, app_worker, account_sync, watching, listing)


def _feed(loop: asyncio.AbstractEventLoop, components: Components) -> KopfFeed:
    """Hands kopf's events over to our loop."""

    def relist(kind: Kind) -> None:
        for informer in components.listing:
            if informer.kind == kind:
                informer.trigger_relist()

    return KopfFeed(loop, components.cache, relist)


async def _together(*services: Coroutine[object, object, None]) -> None:
    """Run all until cancelled. One that ends with an error ends the others, and raises it."""
    async with asyncio.TaskGroup() as group:
        for service in services:
            group.create_task(service)
