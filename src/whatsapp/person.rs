//! Somebody, by the ids they go by.
//!
//! Since 2026 a person may have a business-scoped user id beside the telephone number, or instead of it. The one goes
//! before the other, and where both are known they are told together, so that they can be joined.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;

use super::country;
use super::line::Line;
use super::loose::{List, Object, Scalar};
use crate::pseudonym::{Kind, digits};

/// Contacts from which on they are looked up instead of gone through.
const FEW: usize = 4;

/// Digits that a block of numbers leaves out.
const BLOCK_DIGITS: usize = 3;

/// Shortest number that belongs to a block.
const SHORTEST: usize = 7;

/// Somebody. What is absent is not known.
#[derive(Clone, Debug, Default)]
pub(super) struct Person<'a> {
    user_id: Option<Cow<'a, str>>,
    number: Option<Cow<'a, str>>,
}

impl<'a> Person<'a> {
    /// From ids of which each may be of either kind: what is called a number may be a user id.
    pub fn new<'s: 'a>(ids: impl IntoIterator<Item = &'a Scalar<'s>>) -> Self {
        let mut person = Self::default();
        for id in ids.into_iter().filter_map(Scalar::text) {
            let slot = match country::of_user_id(&id) {
                Some(_) => &mut person.user_id,
                None => &mut person.number,
            };
            slot.get_or_insert(id);
        }
        person
    }

    /// Whether nothing is known.
    pub const fn is_nobody(&self) -> bool {
        self.user_id.is_none() && self.number.is_none()
    }

    /// The id that goes before the other.
    pub fn id(&self) -> Option<&str> {
        self.user_id.as_deref().or(self.number.as_deref())
    }

    /// Says who it is.
    pub fn write(&self, line: &mut Line<'_>) {
        let Some(id) = self.id() else { return };
        line.pseudonym("whatsapp.user.id", Kind::Person, id);
        if let (Some(_), Some(number)) = (&self.user_id, &self.number) {
            line.pseudonym("whatsapp.user.alias", Kind::Person, number);
        }
        self.write_origin(line);
    }

    /// Says who it was, and that it is now somebody else.
    pub fn write_change(&self, now: &Self, line: &mut Line<'_>) {
        match (self.id(), now.id()) {
            (Some(before), Some(now)) => {
                line.pseudonym("whatsapp.user.id", Kind::Person, before);
                line.pseudonym("whatsapp.user.alias", Kind::Person, now);
            }
            (Some(id), None) | (None, Some(id)) => line.pseudonym("whatsapp.user.id", Kind::Person, id),
            (None, None) => {}
        }
        self.write_origin(line);
    }

    fn write_origin(&self, line: &mut Line<'_>) {
        let number = self.number.as_deref().and_then(digits);
        let country = match &self.user_id {
            Some(id) => country::of_user_id(id),
            None => number.as_deref().and_then(country::of),
        };
        if let Some(country) = country {
            line.text("whatsapp.user.country", country);
        }
        if let Some(number) = number.filter(|number| number.len() >= SHORTEST) {
            line.pseudonym("whatsapp.user.block", Kind::Block, &number[..number.len() - BLOCK_DIGITS]);
        }
    }
}

/// An entry of `contacts`. Names are not read.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Contact<'a> {
    #[serde(borrow, default)]
    wa_id: Scalar<'a>,
    #[serde(borrow, default)]
    user_id: Scalar<'a>,
}

/// The people that a change speaks of.
pub(super) struct Contacts<'a> {
    contacts: &'a [Object<Contact<'a>>],
    /// By either id, if they are more than a few.
    index: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Contacts<'a> {
    /// Of a change.
    pub fn new(contacts: &'a List<Object<Contact<'a>>>) -> Self {
        let contacts = contacts.items();
        let mut index = HashMap::new();
        if contacts.len() > FEW {
            for (at, contact) in contacts.iter().enumerate() {
                let Some(contact) = contact.get() else { continue };
                for id in [&contact.wa_id, &contact.user_id].into_iter().filter_map(|id| id.text()) {
                    index.entry(id).or_insert(at);
                }
            }
        }
        Self { contacts, index }
    }

    /// Who goes by these ids, with what the contacts add to it. If there are no ids and one contact, it is that one.
    pub fn find<'i, 's: 'i, const N: usize>(&self, ids: [&'i Scalar<'s>; N]) -> Person<'i>
    where
        'a: 'i,
    {
        let known = match self.contacts {
            [one] => one.get().filter(|contact| {
                let has_number = matches!(contact.wa_id, Scalar::Absent);
                ids.iter().all(|id| **id == Scalar::Absent) || has_number || contact.is(&ids)
            }),
            few if few.len() <= FEW => few.iter().filter_map(Object::get).find(|contact| contact.is(&ids)),
            many => ids.iter().find_map(|id| many.get(*self.index.get(&id.text()?)?)?.get()),
        };
        match known {
            Some(contact) => Person::new(ids.into_iter().chain([&contact.wa_id, &contact.user_id])),
            None => Person::new(ids),
        }
    }
}

impl Contact<'_> {
    fn is(&self, ids: &[&Scalar<'_>]) -> bool {
        ids.iter()
            .filter_map(|id| id.text())
            .any(|id| self.wa_id.text().as_ref() == Some(&id) || self.user_id.text().as_ref() == Some(&id))
    }
}
