"""Rules about trust: keys, profiles, chains to a trust anchor, revocation lists, anchor slots.

Certificates, lists, anchors and the time are arguments; findings are results. Nothing here reads a clock,
a disk or a mirror.
"""
