//! A value of a configuration file with the way to it, whatever language it is written in.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

/// A value as it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Null,
    Bool(bool),
    Whole(i128),
    Real(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; no key occurs twice.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// What it is, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Node::Null => "nothing",
            Node::Bool(_) => "true or false",
            Node::Whole(_) => "a whole number",
            Node::Real(_) => "a number",
            Node::Text(_) => "text",
            Node::List(_) => "a list",
            Node::Map(_) => "a section",
        }
    }

    /// The same tree for files of ours; numbers that JSON cannot hold become nothing.
    pub fn to_json(&self) -> Value {
        match self {
            Node::Null => Value::Null,
            Node::Bool(value) => json!(value),
            Node::Whole(value) => json!(value),
            Node::Real(value) => json!(value),
            Node::Text(value) => json!(value),
            Node::List(items) => items.iter().map(Node::to_json).collect(),
            Node::Map(entries) => entries.iter().map(|(key, node)| (key.clone(), node.to_json())).collect(),
        }
    }

    /// A single value as a flag takes it; none for lists and sections.
    pub fn word(&self) -> Option<String> {
        match self {
            Node::Bool(value) => Some(value.to_string()),
            Node::Whole(value) => Some(value.to_string()),
            Node::Real(value) => Some(value.to_string()),
            Node::Text(value) => Some(value.clone()),
            Node::Null | Node::List(_) | Node::Map(_) => None,
        }
    }
}

/// As it would stand in a message.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Text(value) => write!(f, "`{value}`"),
            Node::Null | Node::List(_) | Node::Map(_) => f.write_str(self.kind()),
            single => f.write_str(&single.word().unwrap_or_default()),
        }
    }
}

/// A value and the way to it: the file, then the keys.
#[derive(Clone, Debug)]
pub struct At<'a> {
    /// `mine.yaml: user_templates.chatbot.context_range`
    pub path: String,
    /// The value.
    pub node: &'a Node,
}

impl<'a> At<'a> {
    /// What stands below a key.
    pub fn below(&self, key: &str, node: &'a Node) -> At<'a> {
        let separator = if self.path.ends_with(':') { " " } else { "." };
        At { path: format!("{}{separator}{key}", self.path), node }
    }

    /// The keys of a section.
    pub fn entries(&self) -> Result<impl Iterator<Item = (&'a str, At<'a>)> + '_, String> {
        let Node::Map(entries) = self.node else { return Err(self.not("a section with keys of its own")) };
        Ok(entries.iter().map(|(key, node)| (key.as_str(), self.below(key, node))))
    }

    /// The items of a list.
    pub fn items(&self) -> Result<impl Iterator<Item = At<'a>> + '_, String> {
        let Node::List(items) = self.node else { return Err(self.not("a list")) };
        Ok(items.iter().enumerate().map(|(n, node)| At { path: format!("{}[{n}]", self.path), node }))
    }

    /// A whole number in a range.
    pub fn whole(&self, low: u64, high: u64) -> Result<u64, String> {
        let number = match self.node {
            Node::Whole(number) => u64::try_from(*number).ok().filter(|number| (low..=high).contains(number)),
            _ => None,
        };
        number.ok_or_else(|| self.not(&format!("a whole number from {low} to {high}")))
    }

    /// A number in a range.
    pub fn real(&self, low: f64, high: f64) -> Result<f64, String> {
        let number = match self.node {
            Node::Whole(number) => Some(*number as f64),
            Node::Real(number) => Some(*number),
            _ => None,
        };
        let allowed = number.filter(|number| (low..=high).contains(number));
        allowed.ok_or_else(|| self.not(&format!("a number from {low} to {high}")))
    }

    /// Text.
    pub fn text(&self) -> Result<&'a str, String> {
        match self.node {
            Node::Text(text) => Ok(text),
            _ => Err(self.not("text")),
        }
    }

    /// A list of two whole numbers, the lower first.
    pub fn whole_range(&self, low: u64, high: u64) -> Result<(u64, u64), String> {
        let allowed = format!("a list of two whole numbers from {low} to {high}, the lower first");
        let (first, last) = self.pair(&allowed)?;
        let range = (first.whole(low, high)?, last.whole(low, high)?);
        if range.0 <= range.1 { Ok(range) } else { Err(self.not(&allowed)) }
    }

    /// A list of two numbers, the lower first.
    pub fn real_range(&self, low: f64, high: f64) -> Result<(f64, f64), String> {
        let allowed = format!("a list of two numbers from {low} to {high}, the lower first");
        let (first, last) = self.pair(&allowed)?;
        let range = (first.real(low, high)?, last.real(low, high)?);
        if range.0 <= range.1 { Ok(range) } else { Err(self.not(&allowed)) }
    }

    fn pair(&self, allowed: &str) -> Result<(At<'a>, At<'a>), String> {
        match self.node {
            Node::List(items) if items.len() == 2 => {
                let item = |n: usize| At { path: format!("{}[{n}]", self.path), node: &items[n] };
                Ok((item(0), item(1)))
            }
            _ => Err(self.not(allowed)),
        }
    }

    /// The complaint that the value is something else than what is allowed.
    pub fn not(&self, allowed: &str) -> String {
        format!("{} is {}; allowed is {allowed}", self.path, self.node)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Whole(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Whole(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Whole(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Real(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map: Vec<(String, Node)> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        while let Some((key, value)) = entries.next_entry::<Node, Node>()? {
            let key = key.word().ok_or_else(|| A::Error::custom("a key is a single word"))?;
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format!("the key {key} occurs twice")));
            }
            map.push((key, value));
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_their_range_and_other_kinds_are_named_with_their_way() {
        let node = Node::Real(f64::NAN);
        let at = At { path: "a.yaml: rag.share".to_owned(), node: &node };
        assert_eq!(at.real(0.0, 1.0).unwrap_err(), "a.yaml: rag.share is NaN; allowed is a number from 0 to 1");
        let node = Node::Bool(true);
        assert!(At { node: &node, ..at.clone() }.whole(0, 9).unwrap_err().contains("is true; allowed is a whole"));
        let node = Node::List(vec![Node::Whole(5), Node::Whole(3)]);
        let range = At { node: &node, ..at.clone() };
        assert!(range.whole_range(0, 9).unwrap_err().contains("the lower first"));
        let node = Node::List(vec![Node::Whole(3), Node::Text("x".to_owned())]);
        let range = At { node: &node, ..at };
        assert!(range.whole_range(0, 9).unwrap_err().contains("share[1] is `x`"));
    }
}
