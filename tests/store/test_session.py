from app.store import Database


async def test_a_started_database_answers(database: Database) -> None:
    await database.ping()
