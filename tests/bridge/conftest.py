import sys
from pathlib import Path

# Tests are not packages; this lets them import what they share (bridge_cases).
sys.path.insert(0, str(Path(__file__).parent))
