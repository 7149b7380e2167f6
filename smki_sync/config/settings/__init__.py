"""Every setting: its type, range, unit, meaning and default, said once.

For: the frozen values that commands build their parts from, and the table and example in
docs/configuration.md, which are made from the annotations here. Refuses: to read a file or the
environment (:mod:`.load` does), and to know a default that another room already has a name for.

* :mod:`.about` what stands beside a setting's type
* :mod:`.source`, :mod:`.keeping`, :mod:`.policy`, :mod:`.trust`, :mod:`.limits`, :mod:`.talk` the sections
"""

from smki_sync.config.policy_settings import PolicySettings
from smki_sync.config.settings.about import UNBOUNDED, About
from smki_sync.config.settings.keeping import ArchiveSettings, MirrorPaths
from smki_sync.config.settings.limits import LimitSettings
from smki_sync.config.settings.source import Repository, RetrySettings
from smki_sync.config.settings.talk import HookSettings, LogFormat, LogSettings, MetricsSettings
from smki_sync.config.settings.trust import TrustSettings

__all__ = [
    "UNBOUNDED",
    "About",
    "ArchiveSettings",
    "HookSettings",
    "LimitSettings",
    "LogFormat",
    "LogSettings",
    "MetricsSettings",
    "MirrorPaths",
    "PolicySettings",
    "Repository",
    "RetrySettings",
    "TrustSettings",
]
