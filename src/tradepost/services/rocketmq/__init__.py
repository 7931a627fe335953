"""RocketMQ of our own: name server, broker and gRPC proxy in one JVM, with the topics and groups that are declared."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.services.model import Missing, Place, Progress, Recipe, Stage, Unready
from tradepost.services.programs import digest, missing_of, need, one_at_a_time, run_build

if TYPE_CHECKING:
    from tradepost.infra.messaging.topics import Group, Topic

PORTS = {"grpc": 18081, "remoting": 18080, "nameserver": 19876, "broker": 19911, "replication": 19912}
TIMEOUT_S = 5
ROUTES_S = 60
"""Longest wait for the routes of new topics, in seconds."""
_HERE = Path(__file__).parent
_FOREIGN = ("osx", "macos", "windows", "riscv")
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

_BROKER = """\
brokerClusterName = DefaultCluster
brokerName = broker-a
brokerId = 0
brokerIP1 = 127.0.0.1
bindAddress = 127.0.0.1
listenPort = {broker}
haListenPort = {replication}
namesrvAddr = 127.0.0.1:{nameserver}
deleteWhen = 04
fileReservedTime = 72
brokerRole = ASYNC_MASTER
flushDiskType = {flush}
autoCreateTopicEnable = false
autoCreateSubscriptionGroup = false
storePathRootDir = {folder}/data
mappedFileSizeCommitLog = 67108864
timerWheelEnable = true
timerFlushIntervalMs = 10000
transactionTimeOut = 6000
transactionCheckInterval = 10000
transactionCheckMax = 15
"""


def steps(place: Place, progress: Progress) -> Iterator[Stage]:
    """One JVM for all three. The option `jvm` adds words to its command line, `heap` and `flush` set theirs."""
    jars = _jars(place.cache, progress)
    classes = _classes(place.cache, jars)
    _configure(place)
    nameserver = f"127.0.0.1:{place.ports['nameserver']}"
    heap = place.options.get("heap", "640m")
    yield Stage(
        name="rocketmq",
        argv=(
            *(need("java"), "-Xms256m", f"-Xmx{heap}", "-XX:MaxDirectMemorySize=256m", "-XX:+UseSerialGC"),
            *place.options.get("jvm", "").split(),
            *(f"-Duser.home={place.folder}", "-cp", f"{classes}:{jars}/*"),
            *("Broker", str(place.folder), nameserver),
        ),
        environment={"ROCKETMQ_HOME": str(place.folder)},
        ready=lambda: check(url_of(place)),
        binds={**place.ports, "the broker's fast lane": place.ports["broker"] - 2},
        patience_s=240,  # a JVM on a machine that does ten other things
        farewell_s=45,
    )


def fetch(place: Place, progress: Progress) -> None:
    """Its jars and our class."""
    _classes(place.cache, _jars(place.cache, progress))


def settle(place: Place, progress: Progress) -> None:
    """Create the topics and groups of the shop, or those of the options, and wait until the proxy routes them."""
    from tradepost.infra.messaging import rocketmq_admin  # noqa: PLC0415  below this room, and heavy

    topics, groups = declared(place.options)
    rocketmq_admin.create(f"127.0.0.1:{place.ports['broker']}", wanted_topics=topics, wanted_groups=groups)
    begun = time.monotonic()
    while True:
        try:
            progress(check_routes(url_of(place), [topic.name for topic in topics]))
            return
        except Unready as unready:
            if time.monotonic() - begun > ROUTES_S:
                raise Refusal("services.start_failed", f"RocketMQ has no route: {unready}.") from unready
        time.sleep(0.1)


def declared(options: Mapping[str, str]) -> tuple[list[Topic], list[Group]]:
    """The topics and groups of the shop; or those of the options, `NAME=KIND/QUEUES` and `NAME=fifo|plain/RETRIES`."""
    from tradepost.infra.messaging import topics as declarations  # noqa: PLC0415

    if "topics" not in options and "groups" not in options:
        return declarations.topics(), declarations.groups()
    return (
        [
            declarations.Topic(name, declarations.Kind(kind), int(queues))
            for name, kind, queues in _words(options.get("topics", ""), "NORMAL", "4")
        ],
        [
            declarations.Group(name, kind == "fifo", int(retries))
            for name, kind, retries in _words(options.get("groups", ""), "plain", "16")
        ],
    )


def _words(text: str, kind: str, number: str) -> Iterator[tuple[str, str, str]]:
    for word in text.split():
        name, _, rest = word.partition("=")
        given, _, count = rest.partition("/")
        yield name, given or kind, count or number


def _configure(place: Place) -> None:
    conf = place.folder / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    (conf / "nameserver.conf").write_text(
        f"listenPort={place.ports['nameserver']}\nbindAddress=127.0.0.1\n", "utf-8"
    )
    broker = _BROKER.format(
        **place.ports, folder=place.folder, flush=place.options.get("flush", "SYNC_FLUSH")
    )
    (conf / "broker.conf").write_text(broker, "utf-8")
    proxy = {
        "rocketMQClusterName": "DefaultCluster",
        "namesrvAddr": f"127.0.0.1:{place.ports['nameserver']}",
        "localServeAddr": "127.0.0.1",
        "grpcServerPort": place.ports["grpc"],
        "remotingListenPort": place.ports["remoting"],
        "useEndpointPortFromRequest": True,  # a client that came over a link stays on it
    }
    (conf / "proxy.json").write_bytes(msgspec.json.encode(proxy))


def _jars(cache: Path, progress: Progress) -> Path:
    """The jars, fetched by Maven once (98 MB)."""
    folder = cache / f"rocketmq-{digest(_HERE / 'pom.xml')}"
    with one_at_a_time(folder):
        if not folder.is_dir():
            progress("fetching RocketMQ's jars with Maven, once")
            fresh = folder.with_name(folder.name + ".new")
            run_build(
                [
                    *(need("mvn"), "-q", "-B", "-ntp", "-f", str(_HERE / "pom.xml"), _COPY),
                    *(f"-DoutputDirectory={fresh}", "-DincludeScope=runtime"),
                ],
                cache,
                progress=progress,
            )
            for jar in fresh.iterdir():
                if any(word in jar.name for word in _FOREIGN):
                    jar.unlink()
            fresh.rename(folder)
    return folder


def _classes(cache: Path, jars: Path) -> Path:
    """Our one class, compiled once."""
    source = _HERE / "Broker.java"
    folder = cache / f"rocketmq-classes-{digest(source)}"
    with one_at_a_time(folder):
        if not folder.is_dir():
            fresh = folder.with_name(folder.name + ".new")
            run_build([need("javac"), "-nowarn", "-cp", f"{jars}/*", "-d", str(fresh), str(source)], cache)
            fresh.rename(folder)
    return folder


def check(url: str) -> str:
    """It answers a route query, though for a topic that need not exist."""
    return check_routes(url, [])


def check_routes(url: str, topics: list[str]) -> str:
    """Ask the gRPC proxy for the route of every topic. Raises Unready naming the first without one."""
    from tradepost.infra.messaging.rocketmq_link import wire  # noqa: PLC0415  heavy

    client = wire()
    code = client.definition.Code
    place = urlsplit(url)
    port = place.port or 8081
    endpoints = client.definition.Endpoints(
        scheme=client.definition.AddressScheme.IPv4,
        addresses=[client.definition.Address(host=place.hostname, port=port)],
    )
    with client.grpc.insecure_channel(f"{place.hostname}:{port}") as channel:
        for topic in topics or [_NOWHERE]:
            request = client.service.QueryRouteRequest(
                topic=client.definition.Resource(name=topic), endpoints=endpoints
            )
            try:
                answer = client.stub(channel).QueryRoute(request, timeout=TIMEOUT_S, metadata=_METADATA)
            except client.grpc.RpcError as error:
                raise Unready(str(error.details())) from error
            allowed = (code.OK,) if topic != _NOWHERE else (code.OK, code.TOPIC_NOT_FOUND)
            if answer.status.code not in allowed:
                raise Unready(f"topic {topic}: {answer.status.message}")
    return f"routes {len(topics)} topics" if topics else "answers route queries"


_NOWHERE = "tradepost-asks-whether-you-answer"
_METADATA = (("x-mq-client-id", "tradepost-services"), ("x-mq-language", "PYTHON"), ("x-mq-protocol", "v2"))


def url_of(place: Place) -> str:
    """The address of the gRPC proxy, which is all that clients need."""
    return f"rocketmq://127.0.0.1:{place.ports['grpc']}"


def _missing(_: Place) -> list[Missing]:
    absent = missing_of(
        (("java", "openjdk-17-jdk-headless"), ("javac", "openjdk-17-jdk-headless"), ("mvn", "maven"))
    )
    if find_spec("rocketmq") is None:
        absent.append(Missing("rocketmq-python-client", "pip install rocketmq-python-client"))
    return absent


RECIPE = Recipe(
    name="rocketmq",
    ports=PORTS,
    missing=_missing,
    steps=steps,
    url=url_of,
    check=check,
    environment="TRADEPOST_MESSAGING__URL",
    schemes=("rocketmq",),
    sentence="events and timers between processes",
    settle=settle,
    fetch=fetch,
)
