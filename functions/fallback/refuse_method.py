"""Every method that a path doesn't have: 405 in the dialect's own words.

API Gateway would answer 403, as if a credential were missing.
"""

from parley.edge.handler import lambda_handler

handler = lambda_handler()
