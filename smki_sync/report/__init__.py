"""The page: what the mirror holds and how it got there, in one HTML file that needs nothing else.

For: ``smki-sync report``. No script, no network, light and dark, on paper too.
Refuses: to ask the Repository, to take the lock.

* :mod:`.facts` what the page says, gathered once from mirror and history
* :mod:`.periods` days and weeks: changes, lag and runs over time
* :mod:`.cliff` how many days are left until a delta that is needed may be gone
* :mod:`.markup` elements; every text from outside is escaped there, and only there
* :mod:`.charts` bars in SVG, with their numbers in a table
* :mod:`.state`, :mod:`.contents`, :mod:`.course` how the mirror stands, what it holds, how it came there
* :mod:`.sections` all of them, in order
* :mod:`.page` the whole document
"""
