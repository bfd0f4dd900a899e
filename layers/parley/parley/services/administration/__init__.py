"""What an operator does: tenants and their keys, people's data, and what everything has cost.

The operator's program and the admin API are two ways to these use cases. Personas and catalogues
are in `services.personas` and `services.catalogues`.
"""
