//! Requests that wait, first come first served, in a few bytes each: an overloaded system has
//! most of its trace waiting.

use std::collections::VecDeque;

use crate::trace::Name;
use crate::workload::{Qos, Request};

/// Bytes of a piece of the line; a piece is given back when all of it was served.
const PIECE: usize = 1 << 16;
/// More than a request takes: ten numbers of at most ten bytes and a mark.
const LONGEST: usize = 128;
/// The mark of a request that is kept as it is.
const WHOLE: u8 = u8::MAX;

/// A line of requests with their ordinals. Most are kept as the differences to the one before;
/// whatever does not come back from that as it was (names of a source, contents) is kept whole.
#[derive(Debug, Default)]
pub struct Line {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of the first piece that were read.
    read: usize,
    whole: VecDeque<Request>,
    last_in: Before,
    last_out: Before,
}

/// What the numbers of a request are compared with.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    ordinal: u64,
    arrival_ns: u64,
    conversation_ordinal: u64,
}

impl Line {
    /// A request joins at the end.
    pub fn push(&mut self, ordinal: u64, request: Request) {
        let mut text = Packed::default();
        if !(text.pack(ordinal, &request, self.last_in) && self.comes_back(&text, ordinal, &request)) {
            text = Packed::default();
            text.byte(WHOLE);
            text.number(ordinal.wrapping_sub(self.last_in.ordinal));
            self.last_in.ordinal = ordinal;
            self.whole.push_back(request);
        } else {
            self.last_in = Before::of(ordinal, &request);
        }
        self.append(text.bytes());
    }

    /// The first request leaves.
    pub fn pop(&mut self) -> Option<(u64, Request)> {
        let piece = self.pieces.front()?;
        let mut text = Unpacking(&piece[self.read..]);
        let (ordinal, request) = match text.unpack(self.last_out) {
            (ordinal, Some(request)) => {
                self.last_out = Before::of(ordinal, &request);
                (ordinal, request)
            }
            (ordinal, None) => {
                self.last_out.ordinal = ordinal;
                (ordinal, self.whole.pop_front().expect("a request for every mark"))
            }
        };
        self.read = piece.len() - text.0.len();
        if self.read == piece.len() {
            self.pieces.pop_front();
            self.read = 0;
        }
        Some((ordinal, request))
    }

    fn comes_back(&self, text: &Packed, ordinal: u64, request: &Request) -> bool {
        let (same, unpacked) = Unpacking(text.bytes()).unpack(self.last_in);
        same == ordinal && unpacked.as_ref() == Some(request)
    }

    fn append(&mut self, text: &[u8]) {
        match self.pieces.back_mut() {
            Some(piece) if piece.len() + text.len() <= PIECE => piece.extend_from_slice(text),
            _ => {
                let mut piece = Vec::with_capacity(if self.pieces.is_empty() { LONGEST } else { PIECE });
                piece.extend_from_slice(text);
                self.pieces.push_back(piece);
            }
        }
    }
}

impl Before {
    fn of(ordinal: u64, request: &Request) -> Self {
        let Request { arrival_ns, conversation_ordinal, .. } = *request;
        Self { ordinal, arrival_ns, conversation_ordinal }
    }
}

/// A request being packed.
struct Packed {
    text: [u8; LONGEST],
    length: usize,
}

impl Default for Packed {
    fn default() -> Self {
        Self { text: [0; LONGEST], length: 0 }
    }
}

impl Packed {
    fn bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }

    fn byte(&mut self, byte: u8) {
        self.text[self.length] = byte;
        self.length += 1;
    }

    /// Seven bits a byte, the lowest first; all bytes but the last have the eighth bit.
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    /// Packs what can be packed; false when a name cannot.
    fn pack(&mut self, ordinal: u64, request: &Request, before: Before) -> bool {
        let (Some(user), Some(conversation)) = (numbers(&request.user), numbers(&request.conversation)) else {
            return false;
        };
        let marks = [request.last_turn, request.prefix.is_some(), request.about_documents];
        let mark = |bits, (at, marked): (usize, &bool)| bits | u8::from(*marked) << (at + 2);
        self.byte(marks.iter().enumerate().fold(request.qos as u8, mark));
        self.byte(user.0 | conversation.0 << 4);
        self.number(ordinal.wrapping_sub(before.ordinal));
        self.number(request.arrival_ns.wrapping_sub(before.arrival_ns));
        let conversation_step = request.conversation_ordinal.wrapping_sub(before.conversation_ordinal);
        self.number(conversation_step << 1 ^ ((conversation_step as i64) >> 63) as u64);
        self.number(user.1);
        self.number(conversation.1 ^ user.1);
        if matches!(request.conversation, Name::UserConversation { .. }) {
            self.number(conversation.2);
        }
        self.number(u64::from(request.turn));
        self.number(u64::from(request.context_tokens));
        self.number(u64::from(request.generate_tokens));
        if let Some(prefix) = request.prefix {
            self.byte(prefix);
        }
        true
    }
}

/// The kind of a name that is made of numbers, and the numbers.
fn numbers(name: &Name) -> Option<(u8, u64, u64)> {
    match *name {
        Name::Text(_) => None,
        Name::User(user) => Some((0, u64::from(user), 0)),
        Name::UserConversation { user, n } => Some((1, u64::from(user), u64::from(n))),
        Name::DatasetUser(n) => Some((2, n, 0)),
        Name::TraceUser(n) => Some((3, n, 0)),
        Name::Lone(n) => Some((4, n, 0)),
        Name::Query(n) => Some((5, u64::from(n), 0)),
    }
}

/// What is left to unpack.
struct Unpacking<'a>(&'a [u8]);

impl Unpacking<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().expect("a request was packed whole");
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    /// The ordinal, and the request unless it is kept whole.
    fn unpack(&mut self, before: Before) -> (u64, Option<Request>) {
        let mark = self.byte();
        if mark == WHOLE {
            return (before.ordinal.wrapping_add(self.number()), None);
        }
        let kinds = self.byte();
        let ordinal = before.ordinal.wrapping_add(self.number());
        let arrival_ns = before.arrival_ns.wrapping_add(self.number());
        let folded = self.number();
        let conversation_step = folded >> 1 ^ (folded & 1).wrapping_neg();
        let user = self.number();
        let conversation = self.number() ^ user;
        let request = Request {
            user: name(kinds & 0xf, user, 0),
            conversation: name(kinds >> 4, conversation, if kinds >> 4 == 1 { self.number() } else { 0 }),
            qos: [Qos::Batch, Qos::Responsive, Qos::Interactive][usize::from(mark & 3)],
            conversation_ordinal: before.conversation_ordinal.wrapping_add(conversation_step),
            arrival_ns,
            last_turn: mark & 4 != 0,
            turn: self.number() as u32,
            context_tokens: self.number() as u32,
            generate_tokens: self.number() as u32,
            prefix: if mark & 8 != 0 { Some(self.byte()) } else { None },
            about_documents: mark & 16 != 0,
            ..Request::default()
        };
        (ordinal, Some(request))
    }
}

fn name(kind: u8, number: u64, n: u64) -> Name {
    match kind {
        0 => Name::User(number as u32),
        1 => Name::UserConversation { user: number as u32, n: n as u32 },
        2 => Name::DatasetUser(number),
        3 => Name::TraceUser(number),
        4 => Name::Lone(number),
        _ => Name::Query(number as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Content, Segment};
    use proptest::prelude::*;

    fn any_name() -> impl Strategy<Value = Name> {
        prop_oneof![
            any::<u32>().prop_map(Name::User),
            any::<(u32, u32)>().prop_map(|(user, n)| Name::UserConversation { user, n }),
            any::<u64>().prop_map(Name::DatasetUser),
            any::<u64>().prop_map(Name::TraceUser),
            any::<u64>().prop_map(Name::Lone),
            any::<u32>().prop_map(Name::Query),
            "[a-z]{0,5}".prop_map(|text| Name::Text(text.into())),
        ]
    }

    fn any_request() -> impl Strategy<Value = Request> {
        let numbers = any::<(u64, u32, bool, u64, u32, u32, Option<u8>)>();
        (any_name(), any_name(), 0usize..3, numbers, prop::option::weighted(0.2, 1u32..9)).prop_map(
            |(
                user,
                conversation,
                qos,
                (conversation_ordinal, turn, last_turn, arrival_ns, context, answer, prefix),
                segment,
            )| {
                Request {
                    user,
                    conversation,
                    qos: [Qos::Batch, Qos::Responsive, Qos::Interactive][qos],
                    conversation_ordinal,
                    turn,
                    last_turn,
                    arrival_ns,
                    context_tokens: context,
                    generate_tokens: answer,
                    prefix,
                    answer: (segment.is_none() && turn % 5 == 0).then_some(arrival_ns),
                    about_documents: turn % 2 == 0,
                    content: segment
                        .map_or(Content::Conversation, |tokens| Content::Segments([Segment { id: 1, tokens }].into())),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn requests_leave_as_they_came(requests in prop::collection::vec((any_request(), 0usize..3), 0..60)) {
            let (mut line, mut expected) = (Line::default(), VecDeque::new());
            for (ordinal, (request, leaving)) in (0u64..).step_by(3).zip(requests) {
                line.push(ordinal, request.clone());
                expected.push_back((ordinal, request));
                for _ in 0..leaving {
                    prop_assert_eq!(line.pop(), expected.pop_front());
                }
            }
            while let Some(request) = expected.pop_front() {
                prop_assert_eq!(line.pop(), Some(request));
            }
            prop_assert_eq!(line.pop(), None);
        }
    }

    #[test]
    fn a_waiting_request_takes_few_bytes() {
        let mut line = Line::default();
        for n in 0..10_000u64 {
            let user = n as u32 * 7 % 1000;
            line.push(
                2 * n,
                Request {
                    user: Name::User(user),
                    conversation: Name::UserConversation { user, n: 300 },
                    conversation_ordinal: 50_000 + n % 100,
                    arrival_ns: n * 10_000_000,
                    context_tokens: 12_000,
                    generate_tokens: 300,
                    ..Request::default()
                },
            );
        }
        let bytes: usize = line.pieces.iter().map(Vec::capacity).sum();
        assert!(bytes < 24 * 10_000, "{bytes}");
    }
}
