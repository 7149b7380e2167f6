"""HTML pages: the state of a mirror, and a restore rehearsal. No script, no network.

* :mod:`.data` reads mirror and history for the status page
* :mod:`.charts` elements, tables and bar charts; the only place where text is escaped
* :mod:`.page` the status page
* :mod:`.rehearsal` the page of a restore rehearsal
"""
