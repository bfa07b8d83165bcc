"""Whether the work is good, and what the label is.

Owns: gate sets, verdicts, workers' gold records, consensus, appeals, quality reports and the rows of exports.
Promises: each submission gets one verdict with reason and evidence, by gates that were fixed before; a label is
computed from all accepted answers of a task and from nothing else; the same answers always give the same label.
Needs: tasks, matching, catalog, identity, audit, core.
"""
