"""The application behind every route of the admin API: one function, unlike all others'.

An operator asks for something a few times a day, so a function for each of the routes would be cold
whenever it is asked, and each would have nearly all of these rights anyway. See
docs/decisions/0011-one-function-for-operators.md.
"""

from parley.edge.handler import lambda_handler

from . import (
    create_key,
    create_persona,
    create_tenant,
    delete_tenant,
    delete_user,
    edit_persona,
    export_user,
    get_app,
    get_budget,
    get_catalogue,
    get_models,
    get_persona,
    get_tenant,
    get_usage,
    list_conversations,
    list_keys,
    list_personas,
    list_tenants,
    load_catalogue,
    resume_tenant,
    revoke_key,
    roll_back_persona,
    rotate_key,
    set_app,
    set_key_limits,
    set_limits,
    set_models,
    set_origins,
    set_turns,
    submit_persona,
    suspend_tenant,
)

ROUTERS = (
    create_tenant.router,
    list_tenants.router,
    get_tenant.router,
    delete_tenant.router,
    set_limits.router,
    set_turns.router,
    set_origins.router,
    get_budget.router,
    suspend_tenant.router,
    resume_tenant.router,
    create_key.router,
    list_keys.router,
    rotate_key.router,
    set_key_limits.router,
    revoke_key.router,
    get_models.router,
    set_models.router,
    create_persona.router,
    list_personas.router,
    get_persona.router,
    edit_persona.router,
    submit_persona.router,
    roll_back_persona.router,
    get_app.router,
    set_app.router,
    get_catalogue.router,
    load_catalogue.router,
    list_conversations.router,
    export_user.router,
    delete_user.router,
    get_usage.router,
)

handler = lambda_handler(*ROUTERS)
