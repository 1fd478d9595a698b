"""The registration bridge: a sale in one system becomes access in another.

Data flows one way, and the packages are named after the stages of that flow:

    edge      who wakes us: HTTP addresses, probes, the clock
    intake    verified event -> canonical commands -> plan -> ledger
    ledger    what we remember: events, registrations, rights, outbox
    dispatch  outbox -> connector -> settled outcome
    notices   mails that no target sends
    jobs      what the clock wakes: one file per scheduled job
    actions   what an operator may do
    contract  the shared words, seen by everybody
    kit       tools that a connector author may use
    registry  from a type's name to its class: connectors are found by their file names
    app       the composition root: settings in, wired bridge out
    cli       the verbs of the command line, without logic of their own

``connectors/`` holds one file per outside system, ``config/`` what the operator wrote.
"""

__version__ = "0.1.0"
