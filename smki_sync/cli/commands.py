"""The table of commands: module, group and summary; imported before any command is loaded."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class CommandGroup(StrEnum):
    """A heading of ``smki-sync --help``; the order of the members is the order on the screen."""

    DAILY = "Daily"
    LOOK_UP = "Look up"
    RECOVERY = "Recovery"
    SETUP = "Setup"
    TRY_IT = "Try it"


class CommandInfo(NamedTuple):
    """``module``: defines ``register_<name>``. ``summary``: one line of help, at most 65 characters."""

    group: CommandGroup
    module: str
    summary: str


COMMANDS: Final[Mapping[str, CommandInfo]] = {
    "sync": CommandInfo(
        CommandGroup.DAILY, "smki_sync.cli.sync", "Download and apply new extracts: the daily job."
    ),
    "status": CommandInfo(
        CommandGroup.DAILY, "smki_sync.cli.status", "Show what the mirror contains and how old it is."
    ),
    "watch": CommandInfo(
        CommandGroup.DAILY, "smki_sync.cli.watch", "Show our certificates and what happened to them."
    ),
    "quarantine": CommandInfo(
        CommandGroup.DAILY, "smki_sync.cli.maintenance", "List records that could not be read or verified."
    ),
    "report": CommandInfo(
        CommandGroup.DAILY, "smki_sync.cli.export", "Write a status report as one HTML page."
    ),
    "show": CommandInfo(CommandGroup.LOOK_UP, "smki_sync.cli.query", "Show the certificates of one subject."),
    "find": CommandInfo(CommandGroup.LOOK_UP, "smki_sync.cli.query", "List certificates that match filters."),
    "check": CommandInfo(
        CommandGroup.LOOK_UP, "smki_sync.cli.check", "Check a list of devices or certificates."
    ),
    "bundle": CommandInfo(
        CommandGroup.LOOK_UP,
        "smki_sync.cli.bundle",
        "Print certificates and their path for a service request.",
    ),
    "resolve": CommandInfo(
        CommandGroup.LOOK_UP, "smki_sync.cli.resolve", "Assess the credentials that a device reports."
    ),
    "changes": CommandInfo(
        CommandGroup.LOOK_UP, "smki_sync.cli.query", "List changes in order, without gaps."
    ),
    "export": CommandInfo(
        CommandGroup.LOOK_UP, "smki_sync.cli.export", "Export certificates to a file or directory."
    ),
    "serve": CommandInfo(
        CommandGroup.LOOK_UP,
        "smki_sync.cli.serve",
        "Answer the Repository's web service and a JSON API.",
    ),
    "anchors": CommandInfo(
        CommandGroup.LOOK_UP,
        "smki_sync.cli.verify",
        "List the anchor slots of each region and their changes.",
    ),
    "verify": CommandInfo(
        CommandGroup.RECOVERY, "smki_sync.cli.verify", "Verify all certificates and the mirror itself."
    ),
    "reconcile": CommandInfo(
        CommandGroup.RECOVERY, "smki_sync.cli.recovery", "Compare the mirror with the newest full extract."
    ),
    "manifest": CommandInfo(
        CommandGroup.RECOVERY, "smki_sync.cli.maintenance", "Print a manifest, or compare two mirrors."
    ),
    "restore": CommandInfo(
        CommandGroup.RECOVERY,
        "smki_sync.cli.recovery",
        "Rebuild the mirror from the Repository or an archive.",
    ),
    "backup": CommandInfo(
        CommandGroup.RECOVERY, "smki_sync.cli.maintenance", "Copy the mirror to one file and check the copy."
    ),
    "prune": CommandInfo(
        CommandGroup.RECOVERY,
        "smki_sync.cli.maintenance",
        "Delete previous generations and expired archive files.",
    ),
    "init": CommandInfo(
        CommandGroup.SETUP,
        "smki_sync.cli.setup",
        "Write a configuration file and trust the host key of the server.",
    ),
    "doctor": CommandInfo(
        CommandGroup.SETUP, "smki_sync.cli.setup", "Check everything that could make a sync fail."
    ),
    "schedule": CommandInfo(
        CommandGroup.SETUP, "smki_sync.cli.schedule", "Write systemd units or a cron line for daily runs."
    ),
    "demo": CommandInfo(
        CommandGroup.TRY_IT, "smki_sync.cli.simulate", "Show the main features on a simulated Repository."
    ),
    "simulate": CommandInfo(
        CommandGroup.TRY_IT, "smki_sync.cli.simulate", "Create, advance and serve a simulated Repository."
    ),
}
"""Commands by name, in the order of the help."""

REPLACED: Final[Mapping[str, str]] = {
    "prove": "smki-sync manifest",
    "compare": "smki-sync manifest --compare OTHER",
    "drill": "smki-sync restore --rehearse",
    "completion": "smki-sync --show-completion",
}
"""Commands of earlier versions and what replaces them."""
