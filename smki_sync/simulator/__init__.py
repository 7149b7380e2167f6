"""A stand-in for the SMKI Repository: its own PKI, its own files, over real SFTP.

For: demonstrating and testing a client without a DCC account, and with every fault on request.
Refuses: to share reading or writing code with the client that it tests, and to be a real PKI: its
keys protect nothing. Begin at :class:`smki_sync.simulator.repository.Repository`; serve a directory
with :func:`smki_sync.simulator.sftp_server.serve`.
"""
