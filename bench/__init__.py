"""How fast the product is on this machine: `python -m bench` prints it.

Nothing here is deployed. What it measures runs as deployed, over AWS services of the run's own.
"""

import local as local  # which puts the shared package on the path
