"""The Ray cluster that trainings run on: one that is there, or one of our own on this machine."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import signal
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import ray
from ray._private import ray_constants, services
from ray._raylet import GcsClient
from ray.exceptions import RayError

from actsearch.errors import ActsearchWarning, InvalidValueError
from actsearch.search.executors.ray_folder import folder_of_this_process
from actsearch.search.executors.ray_options import RayOptions

ANSWERS_WITHIN = 5.0
"""Seconds in which an address must answer."""

_TOKEN = secrets.token_hex(32)  # one a process, since Ray's client reads it once


@contextlib.contextmanager
def connected(options: RayOptions, cpus: int) -> Iterator[None]:
    """Be connected to the cluster that the options name.

    Where nothing names one and nobody has connected, it is one of our own on this machine, which
    ends with the block. Any other goes on.

    Args:
        options: of the search.
        cpus: of a cluster of our own; Ray counts them and does not bind them.

    Raises:
        InvalidValueError: nobody answers there, or Ray does not take the runtime environment.
    """
    environment = options.environment()
    address = options.address or os.environ.get("RAY_ADDRESS", "")
    if ray.is_initialized():
        if options.address or environment:
            raise InvalidValueError(
                "ray-address and ray-runtime-env must be left out where ray.init() has been called,"
                f" but got {options.address or options.runtime_env!r}. Give them to ray.init()."
            )
        yield
    elif address:
        with _joined(address, environment):
            yield
    else:
        with _own(environment, cpus):
            yield


@contextlib.contextmanager
def _joined(address: str, environment: dict[str, Any]) -> Iterator[None]:
    at_loopback = address != "auto" and _check_answers(address)
    told = f"ray-address must be a Ray cluster that answers, but got {address!r}"
    with _explained(told), _loopback() if at_loopback else contextlib.nullcontext():
        if address != "auto":
            GcsClient(address=address).check_alive([], timeout=ANSWERS_WITHIN)
        _init(address=address, runtime_env=environment or None)
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _own(environment: dict[str, Any], cpus: int) -> Iterator[None]:
    # Sockets lie there, whose paths must be short: where Ray would have them, whatever TMPDIR says.
    folder = folder_of_this_process(os.environ.get("RAY_TMPDIR", "/tmp"))  # noqa: S108  # a folder of its own
    told = "a Ray cluster must start on this machine"
    try:
        with _explained(told), _loopback(), _private(), _own_groups():
            _init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                runtime_env=environment or None,
                _temp_dir=str(folder),
            )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _init(**options: Any) -> None:
    """Call Ray, and leave signals as they were."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(log_to_driver=False, logging_level="error", **options)
    except SystemExit as stop:  # Ray's own answer to SIGTERM
        raise KeyboardInterrupt(128 + signal.SIGTERM) from stop
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def _private() -> Iterator[None]:
    """Start what others on this machine cannot use, and what tells nobody of itself.

    By default Ray would write a token into the user's home, for all to read.
    """
    wanted = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_worker_niceness": "0",  # trainings would yield to all else on the machine
        "RAY_AUTH_TOKEN": _TOKEN,
    }
    # Ray itself sets this one, and what it has read of it before.
    new = (wanted.keys() | {"RAY_AUTH_MODE"}) - os.environ.keys()
    os.environ.update({name: wanted[name] for name in new & wanted.keys()})
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _own_groups() -> Iterator[None]:
    """Start Ray's processes where a signal to our group does not reach them.

    They would die of a SIGTERM before we have ended the trainings, and Ray's client would wait a
    minute for them; Ray guards them from Ctrl-C alone.
    """
    usual = services.ConsolePopen
    services.ConsolePopen = functools.partial(usual, process_group=0)
    try:
        yield
    finally:
        services.ConsolePopen = usual


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """Let Ray use 127.0.0.1, in whose place it takes an address that others can reach."""
    usual = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = usual


def _check_answers(address: str) -> bool:
    """Return whether the cluster is on this machine's loopback address alone.

    Raises:
        InvalidValueError: nobody answers.
    """
    host, _, port = address.rpartition(":")
    problem: OSError | None = None
    for name in dict.fromkeys([host, ray.util.get_node_ip_address() if _is_here(host) else host]):
        try:
            socket.create_connection((name, int(port)), ANSWERS_WITHIN).close()
        except OSError as error:
            problem = problem or error
        else:
            return _is_here(name)
    raise InvalidValueError(
        f"ray-address must be a Ray cluster that answers, but got {address!r}: {problem}. `ray"
        " status` tells of one, `ray start --head` starts one."
    )


def _is_here(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


@contextlib.contextmanager
def _explained(rule: str) -> Iterator[None]:
    """Tell in one line what Ray says at length."""
    try:
        yield
    except (RayError, ConnectionError, RuntimeError, ValueError, TypeError) as error:
        told = " ".join(str(error).split())
        raise InvalidValueError(
            f"{rule}: {type(error).__name__}: {told[:500].rstrip('.')}."
        ) from error


def warn_without_room(needs: Mapping[str, float]) -> None:
    """Tell where no node of the cluster has what a training needs, which then waits for one."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(name, 0) >= n for name, n in needs.items()) for node in nodes):
        told = ", ".join(f"{name} {number:g}" for name, number in needs.items() if number)
        warnings.warn(
            f"no node of the Ray cluster has what a training needs ({told}): it waits until one"
            " comes.",
            ActsearchWarning,
            stacklevel=3,
        )
