//! JSON as it comes and not as it is documented.
//!
//! Every scalar may be text or a number, `null` is the same as nothing, and what has another shape than expected is
//! absent instead of an error: a field that changes its shape must not cost the message it is in.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

/// Errors that are kept of one list.
const ERRORS_LIMIT: usize = 8;

/// Memory of the elements of a list, in bytes. A list that needs more is read element by element, which needs less,
/// or not at all. A body of 3 MB, the most there is, stays below that element by element.
const LIST_BYTES: usize = 32 << 20;

/// Codes from here on are none: the longest known ones have seven digits.
const CODES_END: i64 = 100_000_000;

/// Text, or a number or a truth value as text. What is empty or has another shape is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Scalar<'a> {
    /// Nothing, or nothing to go by.
    #[default]
    Absent,
    /// Text.
    Text(Cow<'a, str>),
    /// A whole number.
    Number(i64),
    /// True or false.
    Flag(bool),
}

impl Scalar<'_> {
    /// As text.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Absent => None,
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Number(number) => Some(Cow::Owned(number.to_string())),
            Self::Flag(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        }
    }

    /// As a whole number.
    pub fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Absent | Self::Flag(_) => None,
        }
    }

    /// As true or false.
    pub fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::Text(text) if text == "true" => Some(true),
            Self::Text(text) if text == "false" => Some(false),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(if text.is_empty() { Scalar::Absent } else { Scalar::Text(Cow::Borrowed(text)) })
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(if text.is_empty() { Scalar::Absent } else { Scalar::Text(Cow::Owned(text.to_owned())) })
            }

            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Scalar::Number(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(i64::try_from(number)
                    .map_or_else(|_| Scalar::Text(Cow::Owned(number.to_string())), Scalar::Number))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                let is_whole = number.fract() == 0.0 && number.abs() < 9e15;
                Ok(if is_whole {
                    Scalar::Number(number as i64)
                } else {
                    Scalar::Text(Cow::Owned(number.to_string()))
                })
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
                Ok(Scalar::Flag(flag))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Scalar::Absent)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                IgnoredAny.visit_seq(list).map(|_| Scalar::Absent)
            }

            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
                IgnoredAny.visit_map(object).map(|_| Scalar::Absent)
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// An object that may be absent.
#[derive(Clone, Debug, Default)]
pub(super) enum Object<T> {
    /// There is none.
    #[default]
    Absent,
    /// There is one.
    Given(T),
    /// There is something, and it is no object.
    Odd,
}

impl<T> Object<T> {
    /// The object, if there is one.
    pub const fn get(&self) -> Option<&T> {
        match self {
            Self::Given(object) => Some(object),
            Self::Absent | Self::Odd => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(object)).map(Object::Given)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                IgnoredAny.visit_seq(list).map(|_| Object::Odd)
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Object::Absent)
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Object::Odd)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Object::Odd)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Object::Odd)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Object::Odd)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Object::Odd)
            }
        }

        deserializer.deserialize_any(Reader(PhantomData))
    }
}

/// A list that may be absent. Its elements are what they have to be, or the whole cannot be read.
#[derive(Clone, Debug, Default)]
pub(super) enum List<T> {
    /// There is none.
    #[default]
    Absent,
    /// There is one.
    Given(Vec<T>),
    /// There is something, and it is no list.
    Odd,
}

impl<T> List<T> {
    /// Whether there is something that is no list.
    pub const fn is_odd(&self) -> bool {
        matches!(self, Self::Odd)
    }

    /// The elements.
    pub fn items(&self) -> &[T] {
        if let Self::Given(items) = self { items } else { &[] }
    }

    /// The elements, owned.
    pub fn into_items(self) -> Vec<T> {
        if let Self::Given(items) = self { items } else { Vec::new() }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    if items.len() * size_of::<T>() >= LIST_BYTES {
                        return Err(Error::custom("too many elements"));
                    }
                    items.push(item);
                }
                Ok(List::Given(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
                IgnoredAny.visit_map(object).map(|_| List::Odd)
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(List::Absent)
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(List::Odd)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(List::Odd)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(List::Odd)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(List::Odd)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(List::Odd)
            }
        }

        deserializer.deserialize_any(Reader(PhantomData))
    }
}

/// An element that has been read along with its list. It is an object, or the list cannot be read.
#[derive(Debug)]
pub(super) struct Ready<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ready<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Object::deserialize(deserializer)? {
            Object::Given(item) => Ok(Self(item)),
            Object::Absent | Object::Odd => Err(Error::custom("not an object")),
        }
    }
}

/// An element that is read by itself, so that it fails by itself.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Raw<'a>(#[serde(borrow)] pub &'a RawValue);

/// An element of a list: read already, or still to be read.
pub(super) trait Item<'a, T> {
    /// The element, or its text if it cannot be read.
    fn open(self) -> Result<T, &'a RawValue>;
}

impl<'a, T> Item<'a, T> for Ready<T> {
    fn open(self) -> Result<T, &'a RawValue> {
        Ok(self.0)
    }
}

impl<'a, T: Deserialize<'a>> Item<'a, T> for Raw<'a> {
    fn open(self) -> Result<T, &'a RawValue> {
        object(self.0.get()).ok_or(self.0)
    }
}

/// Reads an object; `None` if it is none, or not to be read. A list would do for a struct otherwise.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    if text.starts_with('{') { serde_json::from_str(text).ok() } else { None }
}

/// The codes of a list of errors, and nothing else of them: what they say may be about somebody.
#[derive(Clone, Debug, Default)]
pub(super) struct Codes(pub SmallVec<[i64; 2]>);

impl Codes {
    /// Adds those of another list.
    pub fn add(&mut self, others: &Self) {
        self.0.extend(others.0.iter().copied().take(ERRORS_LIMIT - self.0.len().min(ERRORS_LIMIT)));
    }
}

impl<'de> Deserialize<'de> for Codes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Fault<'a> {
            #[serde(borrow, default)]
            code: Scalar<'a>,
        }

        let faults = List::<Object<Fault<'de>>>::deserialize(deserializer)?;
        let codes = faults.items().iter().filter_map(|fault| fault.get()?.code.number());
        let codes = codes.filter(|code| (0..CODES_END).contains(code));
        Ok(Self(codes.take(ERRORS_LIMIT).collect()))
    }
}
