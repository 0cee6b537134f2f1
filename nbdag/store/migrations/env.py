"""Configure Alembic to use the connection, and the transaction, that `nbdag.store.database` passes to it."""

from alembic import context

from nbdag.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=True,  # SQLite can change some columns only by copying the table
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
