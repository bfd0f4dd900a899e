"""Puts the operator's use cases together, for the admin API and the operator's program.

Apart from `bootstrap`, because no function that serves callers needs any of it.
"""

import functools
from dataclasses import dataclass

from parley.adapters.dynamodb.completions import DynamoCompletions
from parley.adapters.dynamodb.erasure import DynamoErasure
from parley.adapters.dynamodb.ledger import DynamoLedger
from parley.adapters.workers import LambdaErrands
from parley.bootstrap import Services, services
from parley.ports import Clock, Errands, Ids
from parley.services.administration.budgets import Budgets
from parley.services.administration.keys import Keys
from parley.services.administration.people import People
from parley.services.administration.reports import Reports
from parley.services.administration.tenants import Tenants
from parley.services.model_routes import ModelRoutes
from parley.services.personas import Personas


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """What an operator can do."""

    tenants: Tenants
    keys: Keys
    models: ModelRoutes
    personas: Personas
    people: People
    reports: Reports
    budgets: Budgets
    errands: Errands
    clock: Clock
    ids: Ids


@functools.cache
def administration() -> Administration:
    """The operator's use cases over the adapters this process's environment names.

    Raises:
        RuntimeError: a setting is missing; the message names it.
    """
    return administer(services())


def administer(made: Services) -> Administration:
    """The operator's use cases over services that are made already."""
    basics = made.basics
    database, tables, clock = basics.database, basics.tables, basics.clock
    ledger, erasure = DynamoLedger(database, tables), DynamoErasure(database, tables)
    tenants = Tenants(made.directory, erasure, clock)
    return Administration(
        tenants=tenants,
        keys=Keys(tenants, made.directory, made.credentials, clock),
        models=ModelRoutes(tenants, basics.secrets, stack=basics.settings.stack),
        personas=made.personas,
        people=People(
            tenants,
            store=made.store,
            completions=DynamoCompletions(database, tables),
            ledger=ledger,
            erasure=erasure,
            clock=clock,
        ),
        reports=Reports(tenants, ledger, clock),
        budgets=Budgets(tenants, made.store, clock),
        errands=LambdaErrands(basics.settings.erase_function),
        clock=clock,
        ids=basics.ids,
    )
