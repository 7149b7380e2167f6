"""Whether the signer of a list is proven up to a trust anchor.

For: an operator who has named anchors: whose list counts is then settled by them, and not by what the mirror
holds alone. Refuses: to judge anything of the list itself.
"""

from smki_sync.trust.chain import Judge
from smki_sync.trust.revocation_lists import Distrust, Signer
from smki_sync.x509 import read_facts
from smki_sync.x509.certificate import read_body


def distrust_by(judge: Judge) -> Distrust:
    """Ask of a signer what ``verify`` asks of its certificate (RFC 5280 6.3.3 (f)): no error up to an anchor.

    ``judge``: knows the anchors, and the time.
    """

    def why(signer: Signer) -> str | None:
        verdict = judge.judge(read_facts(signer.der), signer.der, read_body(signer.der))
        if verdict.anchored and not verdict.has_errors:
            return None
        told = (f"{one.code.words} ({one.detail or one.code})" for one in verdict.findings if one.is_error)
        return f"is not proven up to a trust anchor: {'; '.join(told)}"

    return why
