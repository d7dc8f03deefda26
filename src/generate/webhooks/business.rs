//! The shop on WhatsApp, and the people who write with it.

use crate::generate::names;
use crate::generate::random::mix;

/// The WhatsApp Business account, and who owns it.
pub(in crate::generate) const ACCOUNT: &str = "102290129340398";
/// The business portfolio that the account belongs to.
pub(super) const PORTFOLIO: &str = "506914307656634";

/// A number of the shop. The area code 555 is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::generate) struct Number {
    pub(in crate::generate) id: &'static str,
    pub(in crate::generate) display: &'static str,
}

/// Orders and codes, sent by the shop's own program.
pub(in crate::generate) static SHOP: Number = Number { id: "106540352242922", display: "15550783881" };
/// Questions of customers; people answer at the WhatsApp Business app, a program beside them.
pub(in crate::generate) static SERVICE: Number = Number { id: "106540352242937", display: "15550783904" };
/// Campaigns.
pub(in crate::generate) static NEWS: Number = Number { id: "106540352242941", display: "15550783950" };

/// A template: id, name, and what Meta charges it as.
pub(in crate::generate) struct Template {
    pub(in crate::generate) id: u64,
    pub(in crate::generate) name: &'static str,
    pub(in crate::generate) category: &'static str,
}

/// The templates there are.
pub(in crate::generate) static TEMPLATES: [Template; 6] = [
    Template { id: 1_315_502_779_341_834, name: "order_confirmation", category: "utility" },
    Template { id: 1_315_502_779_341_901, name: "parcel_on_its_way", category: "utility" },
    Template { id: 1_315_502_779_341_977, name: "login_code", category: "authentication" },
    Template { id: 1_689_556_908_129_835, name: "autumn_lamps", category: "marketing" },
    Template { id: 1_689_556_908_129_902, name: "abandoned_cart", category: "marketing" },
    Template { id: 806_312_974_732_579, name: "welcome_back", category: "marketing" },
];

/// Somebody with a telephone.
#[derive(Clone, Debug)]
pub(in crate::generate) struct Person {
    /// The number, in digits.
    pub(in crate::generate) wa_id: String,
    /// What the business knows the person by.
    pub(in crate::generate) user_id: String,
    /// What the person calls themselves.
    pub(in crate::generate) name: String,
}

/// Area codes that the North American plan keeps free.
const AREAS: [u64; 20] =
    [370, 371, 372, 373, 374, 375, 376, 377, 378, 379, 960, 961, 962, 963, 964, 965, 966, 967, 968, 969];

impl Person {
    /// The numbered person of a run.
    pub(super) fn numbered(seed: u64, number: u64) -> Person {
        let drawn = mix(mix(seed, 17), number);
        let area = AREAS[(drawn % AREAS.len() as u64) as usize];
        Person::with(area * 10_000_000 + (drawn >> 20) % 10_000_000, drawn)
    }

    /// One of the people whose numbers have the same first digits, by their last three.
    pub(in crate::generate) fn neighbour(salt: u64, last: u64) -> Person {
        let drawn = mix(salt, 19);
        let area = AREAS[(drawn % AREAS.len() as u64) as usize];
        let block = (drawn >> 20) % 10_000;
        Person::with(area * 10_000_000 + block * 1000 + last % 1000, mix(drawn, last))
    }

    fn with(national: u64, drawn: u64) -> Person {
        let mut name = names::account(drawn as u32 % 20_000).replace('.', " ");
        name.truncate(name.trim_end_matches(|c: char| c.is_ascii_digit()).len());
        Person { wa_id: format!("1{national}"), user_id: format!("US.{:020}", mix(drawn, 23)), name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_keep_their_numbers_and_neighbours_share_all_but_three_digits() {
        let person = Person::numbered(1, 7);
        assert_eq!(person.wa_id, Person::numbered(1, 7).wa_id);
        assert_ne!(person.wa_id, Person::numbered(2, 7).wa_id);
        assert_eq!(person.wa_id.len(), 11);
        let (one, other) = (Person::neighbour(3, 1), Person::neighbour(3, 999));
        assert_eq!(one.wa_id[..8], other.wa_id[..8]);
        assert!(one.wa_id != other.wa_id && one.user_id != other.user_id);
    }
}
