"""How a run is shown: on a terminal, as plain lines, or as JSON lines.

federation.fit(rounds=50, progress=hansa.ui.TerminalProgress())
"""

from hansa.ui.json_lines import JsonProgress
from hansa.ui.plain import PlainProgress
from hansa.ui.tables import comparison_table
from hansa.ui.terminal import TerminalProgress

__all__ = ["JsonProgress", "PlainProgress", "TerminalProgress", "comparison_table"]
