"""A connection that tells PostgreSQL as whom it asks, whenever that has changed."""

from __future__ import annotations

from typing import Any, Final, override

from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus

from tenants import tenancy
from tenants.tenancy import LOGIN, Standing

_TELL: Final = """
SELECT set_config('role', %s, false), set_config('app.organization', %s, false),
    set_config('app.user', %s, false)
"""


class DatabaseWrapper(base.DatabaseWrapper):
    """What PostgreSQL was told is kept at its connection, which the pool lends to others after."""

    @override
    def create_cursor(self, name: str | None = None) -> Any:
        self._tell(tenancy.current())
        return super().create_cursor(name)

    def _tell(self, wanted: Standing) -> None:
        """Not in a transaction that failed: all that it still takes is its end."""
        connection = self.connection
        told = getattr(connection, "standing", LOGIN)
        if told == wanted or connection.info.transaction_status == TransactionStatus.INERROR:
            return
        role = wanted.role or "none"
        connection.execute(_TELL, (role, wanted.organization, wanted.user))
        connection.standing = wanted

    def _forget(self) -> None:
        """What was told in a transaction goes with it."""
        if self.connection is not None:
            self.connection.standing = None

    def _rollback(self) -> Any:
        self._forget()
        return super()._rollback()  # type: ignore[misc]  # the stubs leave out what begins with _

    def _savepoint_rollback(self, sid: str) -> None:
        super()._savepoint_rollback(sid)  # type: ignore[misc]
        self._forget()

    def _close(self) -> Any:
        """The pool rolls back what is not ended."""
        connection = self.connection
        if connection and connection.info.transaction_status != TransactionStatus.IDLE:
            self._forget()
        return super()._close()  # type: ignore[misc]
