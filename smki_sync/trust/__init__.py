"""Rules of trust: keys, profiles, chains to a trust anchor, revocation lists, anchor slots.

These are pure functions: they take certificates, lists, anchors and the time, and return findings. They do
not read a clock, a disk or a mirror.
"""
