"""What an operator is told of lists and anchor slots.

For: one sentence and one advice for each finding. Refuses: to find anything.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from smki_sync.model.lists import HeldList, ListKind
from smki_sync.model.report import Attention, AttentionCode
from smki_sync.trust.anchor_slots import Difference
from smki_sync.trust.revocation_lists import Refusal

_NAMED: Final = 5  # certificates that are spelled out in a message; the rest is a number

_ADVICE: Final = {
    AttentionCode.LIST_UNREADABLE: "Tell the DCC; the list before it stays in force.",
    AttentionCode.LIST_SIGNER_UNKNOWN: "If the authority is new, the next extracts bring it and the next run"
    " applies the list; otherwise tell the DCC.",
    AttentionCode.LIST_SIGNER_UNFIT: "Tell the DCC; the list before it stays in force.",
    AttentionCode.LIST_NOT_ANCHORED: "See whether `trust.anchors` names this Repository's root OCA; if it"
    " does, tell the DCC. What was in force stays so.",
    AttentionCode.LIST_SIGNATURE_FALSE: "Keep it as it is and tell the DCC: it is damaged, or forged. The"
    " list before it stays in force.",
    AttentionCode.LIST_OLDER: "Tell the DCC; the newer list stays in force.",
    AttentionCode.SLOTS_UNREADABLE: "Tell the DCC; do not load devices from it.",
}


def not_fetched(name: str, why: str) -> Attention:
    """A companion could not be had."""
    return Attention(
        code=AttentionCode.COMPANION_NOT_FETCHED,
        message=f"{name} could not be fetched: {_sentence(why)}",
        hint="The next run tries again; what was in force stays so.",
    )


def refused(name: str, refusal: Refusal) -> Attention:
    """A companion was fetched and not taken."""
    return Attention(
        code=refusal.code,
        message=f"{name} was not taken: {_sentence(refusal.why)}",
        hint=_ADVICE[refusal.code],
    )


def stale(held: HeldList, why: str) -> Attention:
    """A list in force is not fresh."""
    return Attention(
        code=AttentionCode.LIST_STALE,
        message=f"The {held.kind.upper()} in force, {held.file} number {held.number}, is stale: {why}.",
        hint="What has been revoked since is not known here. Ask the DCC for a newer list.",
    )


def missing(kind: ListKind) -> Attention:
    """A kind of list that is held is not on offer any more."""
    return Attention(
        code=AttentionCode.LIST_MISSING,
        message=f"No {kind.upper()} is on offer, and one was before; that one stays in force.",
        hint=f"Check `repository.{kind}_name`, then ask the DCC.",
    )


def none_ever(kinds: Iterable[ListKind]) -> Attention:
    """Nothing of a kind is on offer or held."""
    words = " and no ".join(kind.upper() for kind in kinds)
    return Attention(
        code=AttentionCode.NO_LISTS,
        message=f"No {words} is on offer: what is revoked is known from the extracts alone.",
        hint="If there is one, set its name: `repository.arl_name`, `repository.crl_name`; if there is none,"
        " `trust.expect_lists = false`.",
    )


def differ(found: tuple[Difference, ...]) -> Iterator[Attention]:
    """Slot files differ in more than the WAN provider's certificates (Appendix O 2.3.3)."""
    if not found:
        return
    named = "; ".join(
        f"{one.certificate.label} in {', '.join(one.present)}, not in {', '.join(one.absent)}"
        for one in found[:_NAMED]
    )
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    yield Attention(
        code=AttentionCode.SLOTS_DIFFER,
        message=f"The anchor slots of the regions differ in more than the WAN provider: {named}{more}.",
        hint="Do not load devices from them before the DCC has said which is right.",
    )


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
