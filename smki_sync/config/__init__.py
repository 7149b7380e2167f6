"""The configuration: options, environment and one TOML file in one frozen, checked value.

:func:`.loader.load_here` loads all of it. :func:`.file.find_mirror` finds the mirror directory only, which is
all that a lookup needs and faster. Nothing here opens a source or a mirror, or imports a slow library.
"""
