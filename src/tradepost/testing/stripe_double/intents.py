"""The life of a PaymentIntent and of its refunds, as docs.stripe.com describes it."""

from __future__ import annotations

from tradepost.testing.stripe_double import disputes
from tradepost.testing.stripe_double.books import Books, Document, Refused
from tradepost.testing.stripe_double.methods import METHODS, Method

_CANCELABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")
_UPDATABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
_CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
AMOUNT_MAX = 99_999_999
CAPTURE_WITHIN_S = 7 * 86_400
"""How long the double keeps money set aside."""
PAGE = "https://hooks.stripe.com/redirect/authenticate/"


def _state_error(intent: Document, what: str) -> Refused:
    return Refused(
        400,
        code="payment_intent_unexpected_state",
        message=f"You cannot {what} this PaymentIntent because it has a status of {intent['status']}.",
        payment_intent=intent,
    )


def _method(name: str) -> Method:
    if name not in METHODS:
        raise Refused(
            400,
            kept=False,
            code="resource_missing",
            param="payment_method",
            message=f"No such PaymentMethod: {name}",
        )
    return METHODS[name]


def method_of(params: Document) -> str:
    """The method that a request names, itself or by a confirmation token."""
    token = str(params.get("confirmation_token", ""))
    return token.replace("ctoken_", "pm_", 1) if token else str(params.get("payment_method", ""))


def create(books: Books, params: Document) -> Document:
    """A new intent, confirmed at once with `confirm`. Raises `Refused`."""
    for name in ("amount", "currency"):
        if name not in params:
            raise Refused(400, kept=False, code="parameter_missing", param=name, message=f"Missing: {name}")
    amount = int(params["amount"])
    if not 0 < amount <= AMOUNT_MAX:
        code = "amount_too_large" if amount > 0 else "parameter_invalid_integer"
        raise Refused(400, kept=False, code=code, param="amount", message="Amount out of bounds")
    if params.get("confirm") == "true":
        if "return_url" not in params:
            raise Refused(400, kept=False, code="parameter_missing", param="return_url", message="return_url")
        _method(method_of(params))
    options = params.get("payment_method_options", {}).get("card", {})
    intent = books.new(
        "payment_intent",
        "pi",
        amount=amount,
        currency=params["currency"],
        capture_method=params.get("capture_method", "automatic_async"),
        metadata=dict(params.get("metadata", {})),
        description=params.get("description"),
        status="requires_payment_method",
    )
    intent["payment_method_options"] = {"card": dict(options)} if options else {}
    books.intents[intent["id"]] = intent
    books.tell("payment_intent.created", intent)
    if params.get("confirm") == "true":
        confirm(books, intent, params)
    return intent


def update(books: Books, intent: Document, params: Document) -> Document:
    """Change an intent that is not confirmed; that clears its last error. Raises `Refused`."""
    if intent["status"] not in _UPDATABLE:
        raise _state_error(intent, "update")
    intent["metadata"].update(params.get("metadata", {}))
    intent["last_payment_error"] = None
    if "payment_method" in params:
        _method(params["payment_method"])
        intent.update(
            payment_method=params["payment_method"], status="requires_confirmation", next_action=None
        )
    return intent


def confirm(books: Books, intent: Document, params: Document) -> Document:
    """Try to pay. Raises `Refused` with 402 when the bank declines, the intent inside."""
    if intent["status"] not in _CONFIRMABLE:
        raise _state_error(intent, "confirm")
    name = method_of(params) or intent["payment_method"]
    method = _method(name or "")
    intent.update(payment_method=name, last_payment_error=None, next_action=None)
    if method.page:
        link = {"url": PAGE + intent["id"], "return_url": params.get("return_url")}
        intent.update(
            status="requires_action", next_action={"type": "redirect_to_url", "redirect_to_url": link}
        )
        books.tell("payment_intent.requires_action", intent)
    elif method.slow:
        intent.update(status="processing", processing={"type": method.kind})
        _charge(books, intent, method, status="pending")
        books.tell("payment_intent.processing", intent)
    else:
        decide(books, intent, paid=method.decline is None)
    if intent["last_payment_error"]:
        raise Refused(402, **{**intent["last_payment_error"], "payment_intent": intent})
    return intent


def decide(books: Books, intent: Document, *, paid: bool) -> Document:
    """The bank's word about an intent: authorized or paid, or declined."""
    method = METHODS[intent["payment_method"]]
    intent.update(next_action=None, processing=None)
    if not paid:
        code, decline_code = method.decline or ("payment_intent_authentication_failure", "")
        error: Document = {"type": "card_error", "code": code, "message": "Your payment was declined."}
        if decline_code:
            error["decline_code"] = decline_code
        if code != "payment_intent_authentication_failure":
            error["charge"] = _charge(books, intent, method, status="failed")["id"]
        intent.update(status="requires_payment_method", last_payment_error=error, payment_method=None)
        books.tell("payment_intent.payment_failed", intent)
        return intent
    charge = _charge(books, intent, method, status="succeeded")
    if intent["capture_method"] == "manual":
        intent.update(status="requires_capture", amount_capturable=intent["amount"])
        books.tell("payment_intent.amount_capturable_updated", intent)
        return intent
    _take(intent, charge, intent["amount"])
    charge.update(captured=True)
    intent.update(status="succeeded", amount_capturable=0)
    books.tell("payment_intent.succeeded", intent)
    if method.disputed:
        disputes.begin(books, charge)
    return intent


def _charge(books: Books, intent: Document, method: Method, *, status: str) -> Document:
    known = books.charges.get(intent["latest_charge"] or "")
    if known is not None and known["status"] == "pending":
        known["status"] = status
        return known
    charge = books.new(
        "charge",
        "ch",
        amount=intent["amount"],
        currency=intent["currency"],
        metadata=dict(intent["metadata"]),
        payment_intent=intent["id"],
        payment_method=intent["payment_method"],
        status=status,
        paid=status == "succeeded",
    )
    if method.kind == "card":
        wanted = intent["payment_method_options"].get("card", {}).get("request_multicapture")
        several = method.several and wanted == "if_available"
        card = charge["payment_method_details"]["card"]
        card.update(brand=method.brand, multicapture={"status": "available" if several else "unavailable"})
        card["capture_before"] = charge["created"] + CAPTURE_WITHIN_S
    else:
        charge["payment_method_details"] = {"type": method.kind, method.kind: {}}
    books.charges[charge["id"]] = charge
    intent["latest_charge"] = charge["id"]
    return charge


def _take(intent: Document, charge: Document, amount: int) -> None:
    intent["amount_received"] += amount
    charge["amount_captured"] += amount


def capture(books: Books, intent: Document, params: Document) -> Document:
    """Take part or all; the rest is released unless `final_capture` is false. Raises `Refused`."""
    if intent["status"] != "requires_capture":
        raise _state_error(intent, "capture")
    charge = books.charges[intent["latest_charge"]]
    amount = int(
        params["amount_to_capture"] if "amount_to_capture" in params else intent["amount_capturable"]
    )
    final = params.get("final_capture", "true") == "true"
    several = charge["payment_method_details"]["card"]["multicapture"]["status"] == "available"
    if not final and not several:
        raise Refused(400, param="final_capture", message="Multicapture is not available.")
    release = final and amount == 0 and several
    if amount > intent["amount_capturable"] or (amount < 1 and not release):
        raise Refused(400, code="amount_too_large", param="amount_to_capture", message="Out of bounds")
    _take(intent, charge, amount)
    intent["metadata"].update(params.get("metadata", {}))
    intent["amount_capturable"] = 0 if final else intent["amount_capturable"] - amount
    books.tell("payment_intent.amount_capturable_updated", intent)
    if final:
        intent["status"] = "succeeded"
        charge["captured"] = True
        books.tell("charge.captured", charge)
        books.tell("payment_intent.succeeded", intent)
    return intent


def cancel(books: Books, intent: Document) -> Document:
    """Give up; what is set aside is released. Raises `Refused`."""
    if intent["status"] not in _CANCELABLE:
        raise _state_error(intent, "cancel")
    intent.update(status="canceled", canceled_at=books.now_s, amount_capturable=0, next_action=None)
    books.tell("payment_intent.canceled", intent)
    return intent


def refund(books: Books, params: Document) -> Document:
    """Give part or all of what was captured back. Raises `Refused`."""
    intent = books.intent(str(params.get("payment_intent", "")))
    charge = books.charges.get(intent["latest_charge"] or "")
    left = charge["amount_captured"] - charge["amount_refunded"] if charge else 0
    amount = int(params.get("amount", left))
    if charge is None or not charge["amount_captured"]:
        raise Refused(400, message="This PaymentIntent does not have a successful charge to refund.")
    if disputes.is_held(books, charge):
        raise Refused(400, code="charge_disputed", message="The charge has been charged back.")
    if not left:
        raise Refused(400, code="charge_already_refunded", message="Charge has already been refunded.")
    if not 0 < amount <= left:
        raise Refused(
            400, param="amount", message="Refund amount is greater than unrefunded amount on charge"
        )
    how = METHODS[charge["payment_method"]].refunds
    made = books.new(
        "refund",
        "re",
        amount=amount,
        currency=intent["currency"],
        charge=charge["id"],
        payment_intent=intent["id"],
        metadata=dict(params.get("metadata", {})),
        status="pending" if how == "pending" else "succeeded",
    )
    books.refunds[made["id"]] = made
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["captured"] and charge["amount_refunded"] == charge["amount_captured"]
    books.tell("refund.created", made)
    books.tell("charge.refunded", charge)
    return made


def settle_refund(books: Books, made: Document, *, paid: bool) -> Document:
    """The bank's late word about a refund."""
    made["status"] = "succeeded" if paid else "failed"
    if not paid:
        made["failure_reason"] = "declined"
        books.charges[made["charge"]]["amount_refunded"] -= made["amount"]
        books.tell("refund.failed", made)
    books.tell("refund.updated", made)
    return made
