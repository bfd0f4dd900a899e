"""The local stack: the deployed handlers behind one local front door, no AWS account needed."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "template.yaml"
LAYER = ROOT / "layers" / "parley"

# Lambda puts a layer on the path of every function; here each process of the stack does.
if str(LAYER) not in sys.path:
    sys.path.insert(0, str(LAYER))
