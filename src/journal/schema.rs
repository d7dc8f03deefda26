//! The tables, and how a file of an earlier version becomes one of this version.
//!
//! `user_version` of the file is the number of steps that were taken. Steps are only ever added. A file of a later version
//! is refused: what it holds would be lost or misread.

use rusqlite::{Connection, TransactionBehavior};

use super::OpenError;

/// Tells the file from those of other programs: `WBEL`.
const APPLICATION_ID: i32 = 0x5742_454c;

/// Each step's statements.
const STEPS: [&str; 2] = [
    "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
    CREATE TABLE blocks (
        number INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        body BLOB NOT NULL
    );
    CREATE INDEX blocks_at ON blocks (at);
    CREATE TABLE seen (block INTEGER PRIMARY KEY, at INTEGER NOT NULL, keys BLOB NOT NULL);
    CREATE TABLE offsets (log TEXT PRIMARY KEY, block INTEGER NOT NULL, state BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE alerts (
        id TEXT PRIMARY KEY,
        rule TEXT NOT NULL,
        opened_at INTEGER NOT NULL,
        resolved_at INTEGER,
        body BLOB NOT NULL
    );
    CREATE INDEX alerts_opened ON alerts (opened_at);
    CREATE INDEX alerts_resolved ON alerts (resolved_at);
    CREATE TABLE gaps (
        number INTEGER PRIMARY KEY,
        source TEXT NOT NULL,
        from_at INTEGER NOT NULL,
        to_at INTEGER NOT NULL,
        reason TEXT NOT NULL
    );
    CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        source TEXT NOT NULL,
        reason TEXT NOT NULL,
        size INTEGER NOT NULL,
        body BLOB NOT NULL
    );
",
    "CREATE TABLE memories (part INTEGER PRIMARY KEY, block INTEGER NOT NULL, body BLOB NOT NULL)",
];

/// Brings the file to this version. Each step is there as a whole or not at all.
pub fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    migrate_by(connection, &STEPS)
}

/// Whether the file is of this version, for those who do not bring it there.
pub fn check(connection: &Connection) -> Result<(), OpenError> {
    let (taken, _) = taken(connection, STEPS.len())?;
    let number = |steps| i32::try_from(steps).unwrap_or(i32::MAX);
    if taken < STEPS.len() {
        return Err(OpenError::Earlier { found: number(taken), known: number(STEPS.len()) });
    }
    Ok(())
}

/// How many of the steps that are known the file has taken, and whether nothing is in it at all.
fn taken(connection: &Connection, steps: usize) -> Result<(usize, bool), OpenError> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_empty = application == 0 && version == 0 && tables == 0;
    if !is_empty && application != APPLICATION_ID {
        return Err(OpenError::Foreign);
    }
    let known = i32::try_from(steps).unwrap_or(i32::MAX);
    let done = usize::try_from(version).ok().filter(|_| version <= known);
    done.map(|done| (done, is_empty)).ok_or(OpenError::Version { found: version, known })
}

fn migrate_by(connection: &mut Connection, steps: &[&str]) -> Result<(), OpenError> {
    let (done, is_empty) = taken(connection, steps.len())?;
    for (step, version) in steps.iter().zip(1..).skip(done) {
        if !is_empty {
            tracing::info!(version, "the journal's file is brought to another version");
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [&str; 3] =
        ["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y DEFAULT 7", "CREATE TABLE b (z)"];

    fn version(connection: &Connection) -> i32 {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_file_takes_the_steps_that_it_has_not_taken() {
        for steps in 0..=STEPS.len() {
            let mut connection = Connection::open_in_memory().unwrap();
            migrate_by(&mut connection, &STEPS[..steps]).unwrap();
            if steps > 0 {
                connection.execute("INSERT INTO a (x) VALUES (1)", []).unwrap();
            }
            migrate_by(&mut connection, &STEPS).unwrap();
            migrate_by(&mut connection, &STEPS).unwrap();
            assert_eq!(version(&connection), 3);
            let rows: Vec<i32> = connection
                .prepare("SELECT y FROM a")
                .unwrap()
                .query_map([], |row| row.get(0))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            assert_eq!(rows, vec![7; usize::from(steps > 0)]);
        }
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE a (x)"];
        assert!(migrate_by(&mut connection, &steps).is_err());
        assert_eq!(version(&connection), 1);
        assert!(connection.prepare("SELECT * FROM b").is_err());
    }

    #[test]
    fn what_a_later_version_or_another_program_wrote_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate_by(&mut connection, &STEPS).unwrap();
        let error = migrate_by(&mut connection, &STEPS[..2]).unwrap_err();
        assert!(matches!(error, OpenError::Version { found: 3, known: 2 }), "{error}");
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute("CREATE TABLE cookies (x)", []).unwrap();
        assert!(matches!(migrate(&mut connection), Err(OpenError::Foreign)));
    }
}
