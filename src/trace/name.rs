//! Names in a recording: of users, conversations and objects. A generated name is kept as its
//! numbers and spelled out only where it is written, so that a row costs no allocation.

use std::fmt;
use std::sync::Arc;

use super::stamp;

/// The name of a user or a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// As the source has it.
    Text(Arc<str>),
    /// `user_0001`: a synthetic user.
    User(u32),
    /// `user_0001_7`: a synthetic user's conversation.
    UserConversation {
        /// The user.
        user: u32,
        /// How many conversations the user had before.
        n: u32,
    },
    /// `dataset_user_3`: who holds a conversation of a file.
    DatasetUser(u64),
    /// `trace_user_3`: who asks a request of a file that names nobody.
    TraceUser(u64),
    /// `query_7`: a question about documents, which is a conversation of its own.
    Query(u32),
    /// `req_12`: a conversation of a single request, by its place in the source.
    Lone(u64),
}

/// The key of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// `conv_NAME_turn_3`: a turn of a conversation.
    Turn {
        /// The conversation.
        conversation: Name,
        /// The turn, from 1.
        turn: u32,
    },
    /// `kv_system_0123456789abcdef`: a shared system prompt, by the hash of its text.
    Prompt(u64),
    /// `rag_doc_0004_chunk_2`: a part of a document.
    Chunk {
        /// The document.
        document: u32,
        /// The part, from 0.
        index: u32,
    },
    /// `blk_0123456789abcdef`: a token block, by the hash of its content and all before it.
    Block(u64),
    /// `prepop_7`: an object that is there before the first request.
    Prepopulated(u64),
    /// As a trace has it.
    Text(Arc<str>),
}

impl Default for Name {
    fn default() -> Self {
        Name::Lone(0)
    }
}

impl Name {
    /// Appends the name.
    pub fn push(&self, out: &mut Vec<u8>) {
        match self {
            Name::Text(text) => out.extend_from_slice(text.as_bytes()),
            Name::User(user) => push_user(out, *user),
            Name::UserConversation { user, n } => {
                push_user(out, *user);
                out.push(b'_');
                stamp::push_decimal(out, u64::from(*n));
            }
            Name::DatasetUser(n) => push_numbered(out, b"dataset_user_", *n),
            Name::TraceUser(n) => push_numbered(out, b"trace_user_", *n),
            Name::Query(n) => push_numbered(out, b"query_", u64::from(*n)),
            Name::Lone(n) => push_numbered(out, b"req_", *n),
        }
    }
}

impl Key {
    /// Appends the key.
    pub fn push(&self, out: &mut Vec<u8>) {
        match self {
            Key::Turn { conversation, turn } => {
                out.extend_from_slice(b"conv_");
                conversation.push(out);
                push_numbered(out, b"_turn_", u64::from(*turn));
            }
            Key::Prompt(hash) => push_hash(out, b"kv_system_", *hash),
            Key::Chunk { document, index } => {
                out.extend_from_slice(b"rag_doc_");
                push_padded(out, *document);
                push_numbered(out, b"_chunk_", u64::from(*index));
            }
            Key::Block(hash) => push_hash(out, b"blk_", *hash),
            Key::Prepopulated(n) => push_numbered(out, b"prepop_", *n),
            Key::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
    }
}

fn push_user(out: &mut Vec<u8>, user: u32) {
    out.extend_from_slice(b"user_");
    push_padded(out, user);
}

/// At least four digits, as the reference writes users and documents.
fn push_padded(out: &mut Vec<u8>, number: u32) {
    for limit in [1_000, 100, 10] {
        if number < limit {
            out.push(b'0');
        }
    }
    stamp::push_decimal(out, u64::from(number));
}

fn push_numbered(out: &mut Vec<u8>, stem: &[u8], number: u64) {
    out.extend_from_slice(stem);
    stamp::push_decimal(out, number);
}

fn push_hash(out: &mut Vec<u8>, stem: &[u8], hash: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(stem);
    let digits: [u8; 16] = std::array::from_fn(|at| DIGITS[(hash >> (60 - 4 * at)) as usize & 15]);
    out.extend_from_slice(&digits);
}

fn spelled(f: &mut fmt::Formatter<'_>, push: impl Fn(&mut Vec<u8>)) -> fmt::Result {
    let mut text = Vec::new();
    push(&mut text);
    f.write_str(&String::from_utf8_lossy(&text))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        spelled(f, |out| self.push(out))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        spelled(f, |out| self.push(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_files_have_them() {
        let turn = |conversation| Key::Turn { conversation, turn: 3 };
        let spelled = [
            (turn(Name::UserConversation { user: 7, n: 12 }), "conv_user_0007_12_turn_3"),
            (turn(Name::Text("a b".into())), "conv_a b_turn_3"),
            (turn(Name::Lone(5)), "conv_req_5_turn_3"),
            (turn(Name::Query(5)), "conv_query_5_turn_3"),
            (Key::Prompt(0xab), "kv_system_00000000000000ab"),
            (Key::Chunk { document: 12_345, index: 0 }, "rag_doc_12345_chunk_0"),
            (Key::Block(u64::MAX), "blk_ffffffffffffffff"),
            (Key::Prepopulated(1), "prepop_1"),
        ];
        for (key, text) in spelled {
            assert_eq!(key.to_string(), text);
        }
        assert_eq!(Name::User(10_000).to_string(), "user_10000");
    }

    #[test]
    fn they_are_small() {
        assert_eq!((size_of::<Name>(), size_of::<Key>()), (24, 32));
    }
}
