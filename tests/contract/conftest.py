"""The directory that every source of the contract suite serves."""

from support.source_contract import folder

__all__ = ["folder"]
