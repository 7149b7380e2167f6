"""Sources of extracts: an SFTP server or a directory, behind one protocol.

* :mod:`.opening` the one way to get a source from a URL
* :mod:`.base` the protocol, and the limits on what a source may send
* :mod:`.login`, :mod:`.hostkeys`,
  :mod:`.pinning`, :mod:`.first_key` who we are, and whom we trust to be the server

Refuses: to load anything here. The configuration asks this room for its defaults, and every command loads
the configuration.
"""
