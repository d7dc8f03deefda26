//! YAML with line numbers, so that an error can point at the place.
//!
//! A small owned tree over the events of `saphyr`: a rule is read once at load, so copies do not matter, and the
//! rest of the room never sees the YAML library. Errors are collected, not returned at the first one: an author
//! wants to see everything that is wrong with a file.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};

/// A YAML node and the line it starts on.
#[derive(Clone, Debug)]
pub struct Node {
    /// Line in the file, from 1.
    pub line: usize,
    /// What it is.
    pub data: Data,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Data {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key as text.
    pub key: String,
    /// The line the key is on.
    pub line: usize,
    /// The value.
    pub value: Node,
}

/// Where YAML stops being YAML.
#[derive(Clone, Debug)]
pub struct SyntaxError {
    /// Line in the file, from 1.
    pub line: usize,
    /// What the parser says.
    pub message: String,
}

/// The documents of a YAML text. Empty documents are left out.
pub fn documents(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let documents = MarkedYaml::load_from_str(text)
        .map_err(|error| SyntaxError { line: error.marker().line(), message: error.info().to_owned() })?;
    Ok(documents.iter().map(convert).filter(|node| !matches!(node.data, Data::Null)).collect())
}

fn convert(yaml: &MarkedYaml<'_>) -> Node {
    let data = match &yaml.data {
        YamlData::Value(scalar) => match scalar {
            Scalar::Null => Data::Null,
            Scalar::Boolean(value) => Data::Bool(*value),
            Scalar::Integer(value) => Data::Int(*value),
            Scalar::FloatingPoint(value) => Data::Float(value.into_inner()),
            Scalar::String(text) => Data::Text(text.to_string()),
        },
        YamlData::Representation(text, ..) => Data::Text(text.to_string()),
        YamlData::Sequence(items) => Data::List(items.iter().map(convert).collect()),
        YamlData::Mapping(map) => Data::Map(
            map.iter()
                .map(|(key, value)| {
                    let node = convert(key);
                    Entry {
                        key: node.scalar_text().unwrap_or_default(),
                        line: node.line,
                        value: convert(value),
                    }
                })
                .collect(),
        ),
        YamlData::Tagged(_, inner) => return convert(inner),
        YamlData::Alias(_) | YamlData::BadValue => Data::Null,
    };
    Node { line: yaml.span.start.line(), data }
}

impl Node {
    /// The value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The entries of a map; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text, when the node is text.
    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A scalar as text; `None` for null, lists and maps.
    pub fn scalar_text(&self) -> Option<String> {
        match &self.data {
            Data::Text(text) => Some(text.clone()),
            Data::Int(value) => Some(value.to_string()),
            Data::Float(value) => Some(value.to_string()),
            Data::Bool(value) => Some(value.to_string()),
            Data::Null | Data::List(_) | Data::Map(_) => None,
        }
    }

    /// A number: a number, or text that is one.
    pub fn number(&self) -> Option<f64> {
        match &self.data {
            Data::Int(value) => Some(*value as f64),
            Data::Float(value) => Some(*value),
            Data::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
        .filter(|number: &f64| number.is_finite())
    }

    /// The elements of a list, or the node itself as the only one.
    pub fn one_or_many(&self) -> &[Node] {
        match &self.data {
            Data::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// What it is, for an error: `a list`, `text`, ...
    pub fn kind(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "true or false",
            Data::Int(_) | Data::Float(_) => "a number",
            Data::Text(_) => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_know_their_lines() {
        let documents = documents("a: 1\nb:\n  - x\n  - 2.5\n---\n---\nc: ~\n").unwrap();
        assert_eq!(documents.len(), 2, "an empty document is left out");
        assert_eq!(documents[0].entries()[1].line, 2);
        let list = documents[0].get("b").unwrap().one_or_many();
        assert_eq!((list[1].line, list[1].number()), (4, Some(2.5)));
        assert_eq!(documents[1].entries()[0].line, 7);
    }

    #[test]
    fn a_syntax_error_has_a_line() {
        let error = documents("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.line >= 2, "{error:?}");
    }

    #[test]
    fn a_key_given_twice_is_an_error() {
        assert!(documents("a: 1\na: 2\n").is_err());
    }
}
