//! The business's numbers by their two names: the platform's id, and the number as people write it.
//!
//! Messages come with both; what is told of a number's security, quality or name comes with the number alone. Rules that put
//! both together need one name, so the id is remembered by the pseudonym of the number.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// Numbers that are remembered: more than any business has. Beyond that the names of further ones stay apart.
const MAX_NUMBERS: usize = 10_000;

/// Ids by pseudonym.
#[derive(Debug, Default)]
pub struct Numbers(RwLock<HashMap<String, String>>);

impl Numbers {
    /// A number came with both of its names.
    pub fn learn(&self, pseudonym: &str, id: &str) {
        if self.find(pseudonym).is_some_and(|known| known == id) {
            return;
        }
        let mut ids = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = ids.get_mut(pseudonym) {
            id.clone_into(known);
        } else if ids.len() < MAX_NUMBERS {
            ids.insert(pseudonym.to_owned(), id.to_owned());
        }
    }

    /// The id of the number with this pseudonym.
    pub fn find(&self, pseudonym: &str) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(pseudonym).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_id_counts_and_there_is_a_bound() {
        let numbers = Numbers::default();
        numbers.learn("a", "1");
        assert_eq!((numbers.find("a"), numbers.find("b")), (Some("1".to_owned()), None));
        numbers.learn("a", "2");
        assert_eq!(numbers.find("a").as_deref(), Some("2"));
        (0..2 * MAX_NUMBERS).for_each(|number| numbers.learn(&number.to_string(), "3"));
        assert_eq!(numbers.0.read().unwrap().len(), MAX_NUMBERS);
        numbers.learn("a", "4");
        assert_eq!(numbers.find("a").as_deref(), Some("4"), "known ones change all the same");
    }
}
