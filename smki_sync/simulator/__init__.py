"""A simulated SMKI Repository with its own PKI and files, over real SFTP.

It is for demonstrations and tests without a DCC account, and produces every fault on request. It shares no
code for reading or writing files with the client that it tests. Its keys protect nothing. Start with
:class:`smki_sync.simulator.repository.Repository`; :func:`smki_sync.simulator.sftp_server.serve` serves a
directory.
"""
