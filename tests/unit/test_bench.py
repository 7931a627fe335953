"""The bench judges by goals and draws a page that stands alone; what it measures is shown by running it."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from tradepost.surfaces.cli.bench import bench as command
from tradepost.testing.bench import MEASUREMENTS, Bench
from tradepost.testing.bench.driving import Driven, figure_of
from tradepost.testing.bench.goals import GOALS, make_figure
from tradepost.testing.bench.machine import busy_seconds, count_fsyncs, cpu_seconds, look_at_machine
from tradepost.testing.bench.model import Goal, Series, judge
from tradepost.testing.bench.page import render_page
from tradepost.testing.bench.run import write_bench
from tradepost.testing.histogram import Histogram
from tradepost.testing.load import LoadReport

FAST = Goal(title="fast", unit="/s", must=100, reach=200)
SMALL = Goal(title="small", unit="ms", must=5, reach=2, less=True)


@pytest.mark.parametrize(
    ("goal", "value", "verdict"),
    [
        (FAST, 200, "reach"),
        (FAST, 199, "must"),
        (FAST, 100, "must"),
        (FAST, 99, "missed"),
        (SMALL, 2, "reach"),
        (SMALL, 5, "must"),
        (SMALL, 5.1, "missed"),
        (Goal(title="told", unit=""), 1, "told"),
    ],
)
def test_a_value_is_judged_by_its_goal(goal: Goal, value: float, verdict: str) -> None:
    assert judge(goal, value, {}) == verdict


def test_unexpected_answers_break_a_figure_whatever_its_value() -> None:
    assert judge(FAST, 1_000, {"500": 1}) == "broken"


def report(per_second: float, **answers: int) -> LoadReport:
    histogram = Histogram()
    for us in range(1_000, 90_000, 100):
        histogram.note(us)
    codes = {name: count for name, count in answers.items() if not name.startswith("_")}
    statuses = {name[1:]: count for name, count in answers.items() if name.startswith("_")}
    return LoadReport(
        answered=int(per_second),
        elapsed_s=1.0,
        per_second=per_second,
        connections=256,
        rate=0,
        statuses=statuses,
        codes=codes,
        failures={},
        latency=histogram.latency(),
        refused=Histogram().latency(),
        service=histogram.latency(),
        conversations=Histogram().latency(),
        cpu_s=0.2,
        cpu_share=0.2,
    )


def test_a_figure_is_the_median_of_its_rounds_and_names_what_should_not_be() -> None:
    rounds = [
        Driven(load=report(5_000, _201=4_990, _409=10, sold_out=10), server_cpu_s=0.5),
        Driven(load=report(4_000, _201=4_000), server_cpu_s=0.5),
        Driven(load=report(9_000, _201=9_000), server_cpu_s=0.5),
    ]
    figure = figure_of("place_spread", rounds, ("201",))
    assert (figure.value, figure.low, figure.high) == (5_000, 4_000, 9_000)
    assert figure.verdict == "broken"
    assert Counter(figure.unexpected) == Counter(sold_out=10)
    assert figure_of("place_spread", rounds, ("201", "sold_out")).verdict == "must"


def test_waiting_after_the_last_answer_counts() -> None:
    driven = Driven(load=report(1_000, _201=1_000), server_cpu_s=0.5, extra_s=1.0, done=500)
    assert driven.per_second == 250


def sample(tmp_path: Path) -> Bench:
    rounds = [Driven(load=report(5_000, _201=5_000), server_cpu_s=0.5)]
    return Bench(
        version="0",
        started_at="2026-01-01 00:00 UTC",
        quick=True,
        machine=look_at_machine(tmp_path, 0.01),
        figures=[
            figure_of("place_spread", rounds, ("201",)),
            *[make_figure(name, [1.0, 2.0, 3.0]) for name in GOALS if name != "place_spread"],
        ],
        series=[
            Series(name="connections", title="By <b>", unit="/s", under=("1", "2"), lines={"a": (1, 2)}),
            Series(name="writers", title="Writers", unit="/s", under=("1", "2"), lines={"a": (0, 0)}),
            Series(name="layers", title="Layers", unit="us", under=("one",), lines={"a": (1,), "b": (-2,)}),
        ],
        failures={"start": "ShopLost: <gone>"},
    )


class Balance(HTMLParser):
    """Counts what is opened and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone(tmp_path: Path) -> None:
    page = render_page(sample(tmp_path))
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert not balance.seen.keys() & {"script", "link", "img", "iframe"}
    assert not re.search(r"https?:|url\(|@import", page)
    assert "nan" not in page
    assert "By &lt;b&gt;" in page
    assert "&lt;gone&gt;" in page


def test_both_files_are_written_and_the_json_reads_back(tmp_path: Path) -> None:
    made = sample(tmp_path)
    write_bench(made, tmp_path)
    assert msgspec.json.decode((tmp_path / "bench.json").read_bytes(), type=Bench) == made
    assert "place_spread" in (tmp_path / "bench.json").read_text()


def test_the_machine_is_counted(tmp_path: Path) -> None:
    assert count_fsyncs(tmp_path, 0.01) > 0
    assert list(tmp_path.iterdir()) == []
    assert cpu_seconds([1, 10**9]) >= 0
    assert busy_seconds() > 0


def test_a_measurement_that_does_not_exist_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        command(out=tmp_path, only=("speed",))
    assert ended.value.code == 2


def test_the_help_names_every_measurement() -> None:
    told = " ".join((command.__doc__ or "").split())
    assert all(name in told for name in MEASUREMENTS)
