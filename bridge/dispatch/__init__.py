"""From the outbox to the targets: claim, compute, deliver, settle. One lane a target; a dead CRM never delays the LMS."""
