"""A bank for rehearsals. It keeps no book: what it says follows from the call, so a restart changes nothing.

The last digits of the account number choose: 0001 refuses the first attempt, 0002 every one, 0003 for good; 0004 takes
it and says so only when asked. Every other account is paid at once.
"""

from __future__ import annotations

from tradepost.trade.settlement import BankFact, BankStatus, PayoutCall


class SandboxBank:
    """Answers by the account number."""

    name = "sandbox"

    async def send(self, call: PayoutCall) -> BankFact:
        """Pay, or refuse."""
        ending = call.destination.account[-4:]
        if ending == "0003":
            return _fact(call, BankStatus.FAILED, "account closed")
        if ending == "0002" or (ending == "0001" and call.attempt == 1):
            return _fact(call, BankStatus.REFUSED, "try again later")
        if ending == "0004":
            return _fact(call, BankStatus.PENDING, "")
        return _fact(call, BankStatus.PAID, "")

    async def ask(self, call: PayoutCall) -> BankFact | None:
        """What became of it: paid, once it was taken."""
        if call.destination.account.endswith("0004"):
            return _fact(call, BankStatus.PAID, "")
        return await self.send(call)


def _fact(call: PayoutCall, status: BankStatus, reason: str) -> BankFact:
    return BankFact(payout_id=call.payout_id, attempt=call.attempt, status=status, reason=reason)
