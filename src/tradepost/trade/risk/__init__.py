"""Risk: a pure verdict on a checkout before it is placed: allow, review or refuse."""

from tradepost.trade.risk.model import CHECK, Decision, RiskFacts, Verdict
from tradepost.trade.risk.rules import judge, refusal_of, refuse_velocity

__all__ = ["CHECK", "Decision", "RiskFacts", "Verdict", "judge", "refusal_of", "refuse_velocity"]
