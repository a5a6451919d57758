"""Assembles the operator and runs it until SIGTERM. The only module that reads the environment."""

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
from apprun_operator.act.pool_executor import PoolExecutor
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
from apprun_operator.reconcile.pool_worker import PoolWorker
from apprun_operator.reconcile.run_worker import RunWorker
from apprun_operator.reconcile.workqueue import KeyQueue
from apprun_operator.settings import Settings, SettingsError, from_environment
from apprun_operator.telemetry import logs
from apprun_operator.telemetry.loop_lag import measure_lag
from apprun_operator.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

WATCHED: Final[tuple[Kind, ...]] = ("apptasks", "appledgers", "appstates", "appworkers", "pods")
"""Created by machines in great numbers: each has an informer that lists and watches."""
LISTED: Final[tuple[Kind, ...]] = ("apps", "appruns")
"""Created by people: kopf brings their events. Periodic lists find what the events missed."""
RELIST_SECONDS: Final = 300.0
RELIST_SECONDS_WITHOUT_KOPF: Final = 5.0
"""While kopf is down, lists are the only way to see new runs."""
STOP_SECONDS: Final = 5.0
"""How long the threads may take to end: together they stay below the pod's grace of 30 s."""


@dataclass(frozen=True, slots=True)
class Components:
    """The long-lived objects of the process, as `build` has connected them."""

    queue: KeyQueue
    cache: Cache
    metrics: Metrics
    worker: RunWorker
    app_queue: KeyQueue
    app_worker: AppWorker
    pool_queue: KeyQueue
    pool_worker: PoolWorker
    account_sync: ServiceAccountSync
    watching: list[Informer]
    listing: list[Informer]


def main() -> int:
    """Run the process. Returns its exit code: 2 if it is configured wrongly."""
    try:
        settings = from_environment(os.environ)
        cluster = load(os.environ)
    except (SettingsError, NoClusterError) as error:
        sys.stderr.write(f"apprun-operator can't start: {error}\n")
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
        access_log=None,  # the kubelet probes every two seconds
    )
    await site.setup()
    # Probes are answered from here on. A process that waits for its first lists is alive, though
    # not ready.
    await web.TCPSite(site, port=settings.port).start()
    kopf_thread.start()
    if lease is not None:
        lease.start()
    replica = run(settings, components, lambda: kopf_thread.is_watching, gate)
    running = asyncio.create_task(_together(feed.run(), replica))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    failed = running.done()
    logger.info("stopping after %s", "an error" if failed else "a signal")
    running.cancel()
    stopping.cancel()
    await asyncio.gather(running, stopping, return_exceptions=True)
    if lease is not None:
        # Only now, since all work has ended: the next replica writes as soon as the Lease is empty.
        await asyncio.to_thread(lease.stop, STOP_SECONDS)
    components.queue.close()
    components.app_queue.close()
    components.pool_queue.close()
    await asyncio.to_thread(kopf_thread.stop, STOP_SECONDS)
    await site.cleanup()
    await client.close()
    if failed:
        # Only a bug ends the work. A new process starts from what the API server holds, as after
        # any crash.
        running.result()


async def run(settings: Settings, components: Components, kopf_is_up: Callable[[], bool], gate: LeaderGate) -> None:
    """Run the informers, and in each term of leadership the workers, until cancelled.

    Workers start when every kind has been listed. `kopf_is_up` says whether kopf brings the events
    of Apps and AppRuns; while it doesn't, they are listed more often.
    """

    def relist_interval() -> float:
        return RELIST_SECONDS if kopf_is_up() else RELIST_SECONDS_WITHOUT_KOPF

    async with asyncio.TaskGroup() as group:
        for informer in components.watching:
            group.create_task(informer.run())
        for informer in components.listing:
            group.create_task(informer.relist(relist_interval))
        group.create_task(measure_lag(components.metrics.lagged))
        for informer in (*components.watching, *components.listing):
            await informer.synced.wait()
        logger.info("all kinds are listed: %s", dict(components.cache.sizes()))
        await gate.run(lambda: work(settings, components))


async def work(settings: Settings, components: Components) -> None:
    """Do the work of one term of leadership, until cancelled."""
    if settings.lease is not None:
        # The previous leader may have written more than the watches have shown yet. A committed
        # call whose pod is gone would look like an open one that waits for its pod, and its pod
        # would be created again.
        await asyncio.gather(*(informer.resync() for informer in (*components.watching, *components.listing)))
    components.worker.start_term()
    for key in components.cache.keys():  # noqa: SIM118 (a method of the cache, not of a dict)
        # An earlier term may have left any plan half done.
        components.queue.put(key)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(settings.workers):
                group.create_task(components.worker.run())
            components.app_worker.start_term()
            group.create_task(components.app_worker.run())
            components.pool_worker.start_term()
            group.create_task(components.pool_worker.run())
            group.create_task(components.account_sync.run())
    finally:
        await components.pool_worker.stop()
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
    """Connect everything that plans and acts over one API client.

    Args:
        settings: The operator's settings.
        client: The connection to the API server.
        gate: Says whether this replica leads, and so may write.
        metrics: Where everything is counted.
        clock: Returns the time of day, in seconds since the epoch.
        ticks: A monotonic clock, by which silence is measured: setting the time of day is no
            silence.
    """
    queue, app_queue, pool_queue = KeyQueue(), KeyQueue(), KeyQueue()
    cache = Cache(queue.put, clock, app_queue.put, pool_queue.put)
    metrics.watch_sizes(cache.sizes, queue.__len__)
    metrics.watch_unreadable(cache.unreadable)
    metrics.watch_leadership(lambda: gate.is_leading)
    metrics.watch_runs(cache.survey, lambda: gate.is_leading)
    metrics.watch_warm_pods(cache.survey_pools, lambda: gate.is_leading)
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

    pool_executor = PoolExecutor(api, cache, executor)
    pool_worker = PoolWorker(pool_queue, cache, pool_executor, worker, settings.limits, metrics, clock, random.random)

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
    return Components(
        queue, cache, metrics, worker, app_queue, app_worker, pool_queue, pool_worker, account_sync, watching, listing
    )


def _feed(loop: asyncio.AbstractEventLoop, components: Components) -> KopfFeed:
    """The feed that carries kopf's events to the main event loop."""

    def relist(kind: Kind) -> None:
        for informer in components.listing:
            if informer.kind == kind:
                informer.trigger_relist()

    return KopfFeed(loop, components.cache, relist)


async def _together(*services: Coroutine[object, object, None]) -> None:
    """Run all until cancelled. An error of one cancels the others and is raised."""
    async with asyncio.TaskGroup() as group:
        for service in services:
            group.create_task(service)
