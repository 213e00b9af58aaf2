//! Configuration files: YAML and TOML, read into one kind of tree, within bounds.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

use super::node::Node;

/// A configuration of 100,000 users fits several times.
const MAX_BYTES: u64 = 32 << 20;
/// What aliases of YAML may add to a file (a few lines can stand for billions).
const MAX_ALIASED_EVENTS: usize = 100_000;
/// Values of a file: what 100,000 users need, twice.
const MAX_NODES: usize = 2_000_000;

/// The tree of a file: a map with at least one key.
pub fn read(path: &Path) -> Result<Node> {
    let text = text(path)?;
    let wrong = |why: String| Error::usage(format!("{}: {why}", path.display()));
    let toml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    let node = if toml { of_toml(&text) } else { of_yaml(&text) }.map_err(wrong)?;
    match node {
        Node::Map(entries) if !entries.is_empty() => Ok(Node::Map(entries)),
        Node::Null | Node::Map(_) => {
            Err(wrong("no key in it; `kvtrace record … --print-config` writes one".to_owned()))
        }
        other => Err(wrong(format!("{} instead of keys and values, as in `num-users: 32`", other.kind()))),
    }
}

fn text(path: &Path) -> Result<String> {
    let unreadable = |e| Error::reading(path, &e);
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::usage(format!("{}: larger than {} MiB", path.display(), MAX_BYTES >> 20)));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::usage(format!("{} is empty", path.display())));
    }
    String::from_utf8(bytes).map_err(|e| {
        let byte = e.utf8_error().valid_up_to();
        Error::usage(format!("{} is not UTF-8 text (byte {byte})", path.display()))
    })
}

fn of_toml(text: &str) -> std::result::Result<Node, String> {
    toml::from_str::<Node>(text).map_err(|e| {
        let line = e.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        format!("not TOML: {place}{}", one_line(e.message()))
    })
}

fn of_yaml(text: &str) -> std::result::Result<Node, String> {
    let mut options = serde_saphyr::Options::default();
    options.with_snippet = false;
    options.alias_limits.max_total_replayed_events = MAX_ALIASED_EVENTS;
    options.non_finite_float_policy = serde_saphyr::options::NonFiniteFloatPolicy::PassThrough;
    if let Some(budget) = &mut options.budget {
        budget.max_events = 2 * MAX_NODES;
        budget.max_nodes = MAX_NODES;
        budget.max_documents = 1;
    }
    serde_saphyr::from_str_with_options(text, options).map_err(|e| format!("not YAML: {}", one_line(&e.to_string())))
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> std::result::Result<Node, String> {
        of_yaml(text)
    }

    #[test]
    fn both_languages_give_the_same_tree() {
        let yaml = yaml("num-users: 32\nrag: {share: 0.5, words: [a, true]}\n").unwrap();
        let toml = of_toml("num-users = 32\nrag = {share = 0.5, words = [\"a\", true]}\n").unwrap();
        assert_eq!(yaml, toml);
    }

    #[test]
    fn bombs_duplicates_and_tabs_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
        }
        assert!(yaml(&bomb).is_err());
        for text in ["a: 1\na: 2\n", "a:\n\tb: 1\n", "a: [1, 2", "a: 1\n---\nb: 2\n"] {
            let why = yaml(text).unwrap_err();
            assert!(!why.contains('\n') && why.starts_with("not YAML"), "{text:?}: {why}");
        }
        assert!(yaml(&format!("a: {}1{}", "[".repeat(200), "]".repeat(200))).is_err());
        assert!(of_toml("a = 1\na = 2\n").unwrap_err().contains("line 2"));
    }

    #[test]
    fn one_anchor_may_be_used_again() {
        let tree = yaml("a: &x {b: 1}\nc: *x\n").unwrap();
        let inner = || Node::Map(vec![("b".to_owned(), Node::Whole(1))]);
        assert_eq!(tree, Node::Map(vec![("a".to_owned(), inner()), ("c".to_owned(), inner())]));
    }
}
