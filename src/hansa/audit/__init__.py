"""Audit: does the code do what the plan of privacy says?

canaries   clients whose updates are directions that nobody else sends.
pipeline   the real pipeline with canaries in it, and what is seen of it.
checks     what is asked of what was seen; loss: what a guesser proves of epsilon.
auditing   an audit of a plan, from beginning to end.
"""

from hansa.audit.auditing import BUILT_IN, audit
from hansa.audit.finding import Audit, Finding
from hansa.audit.pipeline import Settings

__all__ = ["BUILT_IN", "Audit", "Finding", "Settings", "audit"]
