"""What the operator wrote: one TOML file, validated into one frozen :class:`config.settings.Settings`.

The steps of :func:`config.load.load`, a module each:

    lines       where in the file a key stands
    references  ``${ENV}``, ``{ env = ... }`` and ``{ file = ... }`` replaced by what they stand for
    sections    each section validated by the model of whoever owns it
    checks      what no single key can know: names that are used elsewhere, things given twice
    words       what pydantic found, said to a person
    findings    every fault and warning so far, without secrets

This is the only package that reads the environment.
"""
