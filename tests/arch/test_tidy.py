"""If a rule matters, a test states it: every tidy rule over every module, and each rule shown to bite."""

from __future__ import annotations

import ast
import tomllib

import pytest
from tests.arch import rules
from tests.arch.tree import ROOT, capabilities, modules, parse


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_rule_holds_everywhere(rule: rules.Rule) -> None:
    broken = [f"{module.name}:{line}: {why}" for module in modules() for line, why in rule(module)]
    assert not broken, "\n" + "\n".join(broken)


LONG_FUNCTION = "def act():\n    '''Act.'''\n" + "    pass\n" * 50
PLANTED: list[tuple[rules.Rule, str, str]] = [
    (rules.file_is_short, "kernel/x.py", "'''Doc.'''\n" * 401),
    (rules.functions_are_short, "kernel/x.py", LONG_FUNCTION),
    (rules.name_is_a_noun, "trade/orders/utils.py", ""),
    (rules.name_is_a_noun, "trade/orders/order_service.py", ""),
    (rules.time_and_chance_come_from_world, "trade/orders/rules.py", "import random"),
    (rules.time_and_chance_come_from_world, "trade/orders/rules.py", "from time import time"),
    (rules.time_and_chance_come_from_world, "events/relay.py", "import time\nat = time.time()"),
    (rules.time_and_chance_come_from_world, "app.py", "import datetime\nat = datetime.datetime.now()"),
    (rules.time_and_chance_come_from_world, "surfaces/api/x.py", "import os\nb = os.urandom(8)"),
    (rules.numbers_are_exact, "trade/pricing/rules.py", "rate = 0.2"),
    (rules.numbers_are_exact, "trade/pricing/rules.py", "rate = float('2')"),
    (rules.numbers_are_exact, "kernel/money.py", "half = 1 / 2"),
    (rules.sql_stays_in_store, "trade/orders/api.py", "ALL = 'SELECT * FROM orders'"),
    (rules.sql_stays_in_store, "surfaces/api/x.py", "GO = f'UPDATE orders SET state = {1}'"),
    (
        rules.sql_is_portable,
        "trade/orders/store.py",
        "ADD = 'INSERT INTO a VALUES (?) ON CONFLICT DO NOTHING'",
    ),
    (
        rules.sql_holds_no_values,
        "trade/orders/store.py",
        "F = f'SELECT state FROM orders WHERE order_id = {order_id}'",
    ),
    (rules.promises_are_written, "kernel/x.py", "'''Doc.'''\ndef act():\n    pass"),
    (
        rules.promises_are_written,
        "kernel/x.py",
        "'''Doc.'''\nclass A:\n    '''Doc.'''\n    def act(self): ...",
    ),
    (rules.promises_are_written, "kernel/x.py", "x = 1"),
    (rules.type_ignores_name_their_error, "kernel/x.py", "x = 1  # type: " + "ignore"),
    (rules.structs_stand_alone, "trade/orders/model.py", "class A(Order, frozen=True): pass"),
    (rules.front_doors_only, "trade/checkout/api.py", "from tradepost.trade.catalog.api import x"),
    (rules.front_doors_only, "surfaces/api/x.py", "from tradepost.trade.catalog import api"),
    (rules.front_doors_only, "app/wiring.py", "import tradepost.trade.catalog.store"),
]


@pytest.mark.parametrize(("rule", "name", "text"), PLANTED)
def test_rule_sees_a_planted_breach(
    rule: rules.Rule, name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "is_module", lambda _: True)
    assert list(rule(parse(name, text)))


ALLOWED: list[tuple[rules.Rule, str, str]] = [
    (rules.time_and_chance_come_from_world, "events/relay.py", "import time\nspan = time.perf_counter_ns()"),
    (rules.time_and_chance_come_from_world, "kernel/world.py", "import time\nat = time.time_ns()"),
    (rules.numbers_are_exact, "surfaces/api/x.py", "timeout_s = 0.5"),
    (rules.sql_stays_in_store, "trade/orders/store.py", "ALL = 'SELECT * FROM orders'"),
    (
        rules.sql_holds_no_values,
        "trade/orders/store.py",
        "ALL = f'SELECT {_COLUMNS} FROM orders WHERE {where}'",
    ),
    (rules.sql_stays_in_store, "trade/orders/api.py", "def a():\n    '''Update the row.'''"),
    (rules.front_doors_only, "trade/catalog/api.py", "from tradepost.trade.catalog.store import x"),
    (rules.front_doors_only, "app/wiring.py", "from tradepost.trade.orders import react"),
    (rules.structs_stand_alone, "trade/orders/model.py", "class Placed(Event, frozen=True): pass"),
]


@pytest.mark.parametrize(("rule", "name", "text"), ALLOWED)
def test_rule_leaves_the_allowed_alone(
    rule: rules.Rule, name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "is_module", lambda _: True)
    assert not list(rule(parse(name, text)))


def test_every_capability_has_a_page_and_a_short_front_door() -> None:
    """The front door is one docstring, imports and `__all__`: fewer than 30 statements, however they wrap."""
    broken = []
    for folder in capabilities():
        door = ast.parse((folder / "__init__.py").read_text("utf-8"))
        others = [
            node
            for node in door.body[1:]
            if not isinstance(node, ast.Import | ast.ImportFrom)
            and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        ]
        if not (folder / "README.md").is_file():
            broken.append(f"{folder.name}: no README.md")
        if len(door.body) >= 30 or others:
            broken.append(f"{folder.name}: __init__.py holds more than its docstring, imports and __all__")
        if ast.get_docstring(door) is None:
            broken.append(f"{folder.name}: __init__.py does not say what the capability is")
    assert not broken, "\n" + "\n".join(broken)


def test_every_room_has_its_place_in_the_layers() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = " ".join(config["tool"]["importlinter"]["contracts"][0]["layers"])
    rooms = {module.name.removesuffix(".py").split("/")[0] for module in modules()} - {"__init__", "__main__"}
    assert [room for room in sorted(rooms) if f"tradepost.{room}" not in layers] == []


def test_kernel_stays_small() -> None:
    lines = sum(len(module.text.splitlines()) for module in modules() if module.name.startswith("kernel/"))
    assert lines < 1_500


def test_nothing_committed_names_a_place_outside_the_project() -> None:
    broken = []
    for path in [*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("src/**/*.md")]:
        text = path.read_text("utf-8")
        broken += [f"{path.name}: {word}" for word in ("/work/", "../shared") if word in text]
    assert not broken
