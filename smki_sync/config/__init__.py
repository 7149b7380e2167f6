"""The configuration: options, environment and one TOML file as one frozen, checked value.

For: commands, which call :func:`.load.load_here` with their options and hand the parts on::

    config = load_here({"mirror": mirror, "source": source, "config": file})
    source = open_source(config.need_url(), login=..., limits=config.limits.of_source(), events=...)

and :mod:`.place` for a command that wants nothing but the mirror's directory. Refuses: to open a source or a
mirror, to show a secret, and to import anything that takes long.
"""
