"""State machines as tables: rows of (state, input, next state), checked when declared, printed as Mermaid."""

from __future__ import annotations

from collections.abc import Iterable

from tradepost.kernel.errors import Refusal

_TABLES: dict[str, StateTable] = {}


class StateTable:
    """One declared machine. Every state is reachable, and every state that is not final has a way out.

    Raises ValueError at declaration when the table is ambiguous, unreachable or has a dead end.
    """

    def __init__(
        self, name: str, initial: str, final: Iterable[str], rows: Iterable[tuple[str, str, str]]
    ) -> None:
        self.name = name
        self.initial = initial
        self.final = frozenset(final)
        self.rows = tuple(rows)
        self._next: dict[tuple[str, str], str] = {}
        for state, given, following in self.rows:
            if self._next.setdefault((state, given), following) != following:
                raise ValueError(f"{name}: {state} on {given} is ambiguous")
        self.states = self._reachable()
        _TABLES[name] = self

    def next(self, state: str, given: str) -> str:
        """The state after `given`. Raises Refusal `state.conflict` naming what would be accepted."""
        following = self._next.get((state, given))
        if following is None:
            raise Refusal(
                "state.conflict",
                f"A {self.name} in state {state} does not accept '{given}'.",
                expected=" or ".join(self.allowed(state)) or "nothing: this state is final",
                extra={"state": state, "allowed": self.allowed(state)},
            )
        return following

    def accepts(self, state: str, given: str) -> bool:
        """Whether `given` is possible now."""
        return (state, given) in self._next

    def allowed(self, state: str) -> list[str]:
        """The inputs this state accepts, in table order."""
        return [given for at, given, _ in self.rows if at == state]

    def mermaid(self) -> str:
        """The machine as a Mermaid state diagram."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial}"]
        lines += [f"    {state} --> {following}: {given}" for state, given, following in self.rows]
        lines += [f"    {state} --> [*]" for state in self.states if state in self.final]
        return "\n".join(lines)

    def _reachable(self) -> tuple[str, ...]:
        found = [self.initial]
        for state in found:
            ways = [following for at, _, following in self.rows if at == state]
            if not ways and state not in self.final:
                raise ValueError(f"{self.name}: {state} is a dead end that is not declared final")
            found += [following for following in dict.fromkeys(ways) if following not in found]
        lost = ({state for state, _, _ in self.rows} | self.final) - set(found)
        if lost:
            raise ValueError(f"{self.name}: {sorted(lost)} cannot be reached from {self.initial}")
        return tuple(found)


def state_tables() -> dict[str, StateTable]:
    """Every declared machine by name: the source of the reference diagrams."""
    return dict(sorted(_TABLES.items()))
