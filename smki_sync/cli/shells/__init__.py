"""Completion scripts for bash, zsh and fish, from a tree of commands.

For: ``smki-sync completion``. The scripts need nothing but the shell itself: no other completion
package, and not this program. Refuses: to know where the tree comes from.
"""

from smki_sync.cli.shells.bash import bash
from smki_sync.cli.shells.fish import fish
from smki_sync.cli.shells.tree import Node, Offered, Option
from smki_sync.cli.shells.zsh import zsh

__all__ = ["Node", "Offered", "Option", "bash", "fish", "zsh"]
