"""Who may see and take work: vendors and workers apply with papers, the operator decides with a reason.

Owns: worker and vendor profiles, vetting files, papers, decisions. Promises: no file changes its state by a step that
states.py does not hold; each step has a decision row that says who and why; papers are hashed, typed by their content
and readable by their owner and the operator only. Needs: core, audit, identity, an object store.
"""
