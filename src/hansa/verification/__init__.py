"""Verification of a run from its log, by anyone and without any secret; and the bundle that an auditor gets.

source        a run's folder, or a bundle; its hash chains
rebuild       the server's half of the run, from its configuration
replay        a round done again, with the log's messages in place of clients
certificates  what clients have shown of their data
ledger        what privacy was charged, added up again
checks        all of it, and the verdict
bundle        what of a run is public, in one file
"""

from hansa.verification.bundle import export
from hansa.verification.checks import RoundCheck, Verification, verify

__all__ = ["RoundCheck", "Verification", "export", "verify"]
