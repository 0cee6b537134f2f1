"""How Alembic reaches the database: by the connection that `nbdag.store.database` hands it, in its transaction."""

from alembic import context

from nbdag.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by making it anew
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
