"""What an operator does, for programs: everything under `/admin/v1`, signed with AWS credentials.

The same as the operator's program does: tenants, their keys, models, personas, apps and catalogues,
people's data, and what everything was used for. IAM decides who may; no tenant's key leads here.
"""

from parley.dialects import Dialect
from parley.dialects.admin.errors import ERROR_SCHEMA, envelope

_TENANT = "/admin/v1/tenants/{tenant}"

ADMIN = Dialect(
    name="admin",
    routes={
        "/admin/v1/tenants": "GET, POST",
        _TENANT: "DELETE, GET",
        f"{_TENANT}/limits": "PATCH",
        f"{_TENANT}/turns": "PATCH",
        f"{_TENANT}/origins": "PUT",
        f"{_TENANT}/budget": "GET",
        f"{_TENANT}/suspend": "POST",
        f"{_TENANT}/resume": "POST",
        f"{_TENANT}/keys": "GET, POST",
        f"{_TENANT}/keys/{{key}}/limits": "PATCH",
        f"{_TENANT}/keys/{{key}}/rotate": "POST",
        f"{_TENANT}/keys/{{key}}/revoke": "POST",
        f"{_TENANT}/models": "GET, PUT",
        f"{_TENANT}/personas": "GET, POST",
        f"{_TENANT}/personas/{{persona}}": "GET, PUT",
        f"{_TENANT}/personas/{{persona}}/submit": "POST",
        f"{_TENANT}/personas/{{persona}}/rollback": "POST",
        f"{_TENANT}/app": "GET, PUT",
        f"{_TENANT}/catalogue": "GET, PUT",
        f"{_TENANT}/conversations": "GET",
        f"{_TENANT}/user-data": "DELETE, GET",
        "/admin/v1/usage": "GET",
    },
    envelope=envelope,
    error_schema=ERROR_SCHEMA,
    headers=lambda _allowance, _elapsed: {"cache-control": "no-store"},
)
