"""Defaults of policy values that the schema of the mirror needs too. It imports nothing slow."""

OVERLAP_DAYS = 2
"""Default of ``policy.full_overlap_days``: a full takes more than a day to produce (MP147)."""
