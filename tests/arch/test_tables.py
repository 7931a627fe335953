"""The tables of the code: problem codes, state machines, events and points, each complete and well named."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest
from tests.arch.tree import Module, import_everything, modules

from tradepost.kernel.errors import problem_table
from tradepost.kernel.events import event_types
from tradepost.kernel.points import points
from tradepost.kernel.states import state_tables

CODE = re.compile(r"[a-z]+(_[a-z]+)*\.[a-z0-9]+(_[a-z0-9]+)*\Z")
EVENT = re.compile(r"[a-z_]+\.[a-z_]+(\.[a-z_]+)?\.v[1-9]\Z")
UNDOTTED = {"internal"}
PERSONAL = {"email", "phone", "address", "name", "recipient", "line1", "line2", "city", "postcode", "ip"}


@pytest.fixture(autouse=True, scope="module")
def everything() -> None:
    import_everything()


def declared_codes(module: Module) -> list[str]:
    """The keys of every `declare_problems({...})` of a module."""
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("declare_problems"):
            for table in (argument for argument in node.args if isinstance(argument, ast.Dict)):
                found += [key.value for key in table.keys if isinstance(key, ast.Constant)]
    return [str(code) for code in found]


def refused_codes(module: Module) -> list[tuple[int, str]]:
    """(line, code) of every `Refusal("...")` whose code is written out."""
    return [
        (node.lineno, str(node.args[0].value))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] == "Refusal"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]


def test_every_problem_code_is_dotted_and_says_what_to_do() -> None:
    wrong = [code for code in problem_table() if code not in UNDOTTED and not CODE.match(code)]
    mute = [code for code, problem in problem_table().items() if not (problem.title and problem.remedy)]
    assert (wrong, mute) == ([], [])


def test_every_problem_code_is_declared_in_one_place() -> None:
    counted = Counter(code for module in modules() for code in declared_codes(module))
    assert [code for code, count in counted.items() if count > 1] == []
    assert set(problem_table()) <= set(counted)


def test_every_refusal_uses_a_declared_code() -> None:
    table = problem_table()
    unknown = [
        f"{module.name}:{line}: {code}"
        for module in modules()
        for line, code in refused_codes(module)
        if code not in table
    ]
    assert not unknown, "\n" + "\n".join(unknown)


def test_every_declared_code_is_used() -> None:
    texts = "\n".join(module.text for module in modules())
    unused = [code for code in problem_table() if texts.count(f'"{code}"') < 2]
    assert unused == []


def test_every_state_table_prints() -> None:
    for table in state_tables().values():
        diagram = table.mermaid()
        assert diagram.startswith("stateDiagram-v2")
        assert all(state in diagram for state in table.states)


def test_every_event_is_a_versioned_fact_without_personal_data() -> None:
    wrong = [name for name in event_types() if not EVENT.match(name)]
    personal = [
        f"{name}: {field}"
        for name, struct in event_types().items()
        for field in struct.__struct_fields__
        if field in PERSONAL
    ]
    unfrozen = [name for name, struct in event_types().items() if not struct.__struct_config__.frozen]
    assert (wrong, personal, unfrozen) == ([], [], [])


def test_every_point_says_what_it_asks_and_has_a_default() -> None:
    for point in points().values():
        assert len(point.sentence) > 10
        assert point.resolved("default")
