//! What the WhatsApp Business Platform posts about the shop: bodies of webhooks, as they come.
//!
//! The shop has one WhatsApp Business account with three numbers (see [`business`]). Ordinary conversations,
//! notices, a campaign a day and work on templates go on; what is staged comes between them, each kind once.
//! Whoever acts is a [`Scene`]: at its turn it posts bodies, some of them for later, since a message is read
//! when it is read. The [`Feed`] keeps turns and bodies in one heap, in the order of time, so it holds what is
//! under way and no more.
//!
//! Bodies are those of the platform: its envelope, its field names, display numbers, message ids that have the
//! reader's number in them. Telephone numbers are of area codes that nobody has.

mod arrivals;
mod body;
mod business;
mod desk;
mod feed;
mod ordinary;
mod scene;

pub(super) use business::{NEWS, Person, SERVICE, SHOP, TEMPLATES};
pub(super) use desk::Desk;
pub(super) use feed::Feed;
pub(super) use ordinary::{campaign, picture, text};
pub(super) use scene::{About, Act, Scene};

#[cfg(test)]
mod tests;
