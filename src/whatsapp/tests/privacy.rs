//! Whatever people write, and whoever they are, is in no line.

use super::fixtures::bodies;
use super::marks::{NUMBER, OWN, SECRETS, STRUCTURE, TRACES, marked};
use super::{pseudonyms, read};
use crate::pseudonym::Kind;

#[test]
fn nothing_of_what_is_written_is_in_a_line() {
    for (path, body) in bodies() {
        if path.ends_with("broken_parts.json") {
            continue;
        }
        let count = read(&body).unwrap().keys.len();
        for kept in [[&OWN[..], &STRUCTURE].concat(), OWN.to_vec()] {
            for with in SECRETS {
                let update = read(&marked(&body, &kept, with)).unwrap();
                let lines = update.lines.to_lowercase();
                for trace in TRACES {
                    let found = lines.lines().find(|line| line.contains(trace));
                    assert!(found.is_none(), "{}: {with} shows in {found:?}", path.display());
                }
                if kept.len() > OWN.len() {
                    assert_eq!(update.keys.len(), count, "{}: all of it is read", path.display());
                }
            }
        }
    }
}

#[test]
fn who_it_is_can_be_found_again_with_the_key() {
    let body = marked(
        &bodies().into_iter().find(|(path, _)| path.ends_with("messages_types.json")).unwrap().1,
        &[&OWN[..], &STRUCTURE].concat(),
        "+44 (7700) 900-123",
    );
    let person = pseudonyms().of(Kind::Person, NUMBER);
    let lines = read(&body).unwrap().lines;
    assert!(lines.lines().filter(|line| line.contains(&person)).count() > 20, "{lines}");
}
