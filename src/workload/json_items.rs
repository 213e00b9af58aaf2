//! The items of a JSON file one by one, as bytes: of an array, of `{"data": […]}`, or of lines
//! (JSONL). Only one item is held at a time, and every fault has a byte.

use std::io::{self, Read};

use super::text_file;

/// More than any conversation; a file in which one item is larger is something else.
const LARGEST_ITEM: usize = 256 << 20;

/// One item and where it begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// Its first byte in the file.
    pub offset: u64,
    /// Its text.
    pub json: Vec<u8>,
}

/// Why there is no next item although the file has not ended well.
#[derive(Debug)]
pub enum Broken {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// There is nothing in it.
    Empty,
    /// It ends in the middle, at byte `end` of its text; `packed`: it is compressed.
    Truncated { end: u64, packed: bool },
    /// At byte `at` is something that cannot be there.
    Wrong { at: u64, what: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Unknown,
    Array,
    Data,
    Lines,
    Ended,
}

/// The items of a reader.
pub struct Items<R> {
    input: R,
    buffer: Vec<u8>,
    at: usize,
    /// The offset of the buffer's first byte.
    base: u64,
    shape: Shape,
    first: bool,
}

impl<R: Read> Items<R> {
    /// Nothing is read before the first item is asked for.
    pub fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), at: 0, base: 0, shape: Shape::Unknown, first: true }
    }

    fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// What is buffered and not yet taken; empty only at the end of the file.
    fn ahead(&mut self) -> Result<&[u8], Broken> {
        if self.at == self.buffer.len() {
            self.base += self.buffer.len() as u64;
            self.buffer.resize(256 << 10, 0);
            let length = loop {
                match self.input.read(&mut self.buffer) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) if text_file::is_cut(&e) => break Err(Broken::Truncated { end: self.base, packed: true }),
                    result => break result.map_err(Broken::Unreadable),
                }
            };
            self.buffer.truncate(*length.as_ref().unwrap_or(&0));
            self.at = 0;
            length?;
        }
        Ok(&self.buffer[self.at..])
    }

    fn peek(&mut self) -> Result<Option<u8>, Broken> {
        Ok(self.ahead()?.first().copied())
    }

    /// The next byte that is not white space, left where it is.
    fn peek_past_space(&mut self) -> Result<Option<u8>, Broken> {
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.at += 1;
        }
        Ok(None)
    }

    fn wrong(&self, what: impl Into<String>) -> Broken {
        Broken::Wrong { at: self.offset(), what: what.into() }
    }

    fn truncated(&self) -> Broken {
        Broken::Truncated { end: self.offset(), packed: false }
    }

    fn begin(&mut self) -> Result<Option<Item>, Broken> {
        const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
        for byte in BYTE_ORDER_MARK {
            if self.peek()? == Some(byte) {
                self.at += 1;
            }
        }
        match self.peek_past_space()? {
            None => Err(Broken::Empty),
            Some(b'[') => {
                self.at += 1;
                self.shape = Shape::Array;
                self.next_of_array()
            }
            Some(b'{') => self.begin_object(),
            Some(byte) => Err(self.wrong(format!("expected `[` or `{{`, found {}", shown(byte)))),
        }
    }

    /// A file that begins with an object is `{"data": […]}` or lines of objects.
    fn begin_object(&mut self) -> Result<Option<Item>, Broken> {
        let offset = self.offset();
        let mut scan = Scan::default();
        let mut json = Vec::new();
        let mut key_start = None;
        let mut last_key_is_data = false;
        while let Some(byte) = self.peek()? {
            if scan.depth == 1 && byte == b'[' && !scan.in_string && last_key_is_data {
                self.at += 1;
                self.shape = Shape::Data;
                return self.next_of_array();
            }
            self.at += 1;
            json.push(byte);
            let was_in_string = scan.in_string;
            let ended = scan.step(byte);
            if ended {
                self.shape = Shape::Lines;
                self.first = false;
                return Ok(Some(Item { offset, json }));
            }
            match (was_in_string, scan.in_string) {
                (false, true) => key_start = Some(json.len()),
                (true, false) => {
                    last_key_is_data =
                        scan.depth == 1 && key_start.is_some_and(|at| json[at..json.len() - 1] == *b"data");
                }
                (false, false) if byte != b':' && !byte.is_ascii_whitespace() => last_key_is_data = false,
                _ => {}
            }
            self.check_size(offset, json.len())?;
        }
        Err(self.truncated())
    }

    fn next_of_array(&mut self) -> Result<Option<Item>, Broken> {
        let mut byte = self.peek_past_space()?.ok_or_else(|| self.truncated())?;
        if byte == b']' {
            self.at += 1;
            return self.end_of_array();
        }
        if !self.first {
            if byte != b',' {
                return Err(self.wrong(format!("expected `,` or `]` after an item, found {}", shown(byte))));
            }
            self.at += 1;
            byte = self.peek_past_space()?.ok_or_else(|| self.truncated())?;
        }
        self.first = false;
        if matches!(byte, b',' | b']' | b'}' | b':') {
            return Err(self.wrong(format!("expected an item, found {}", shown(byte))));
        }
        self.take_value().map(Some)
    }

    /// After an array nothing may follow; after `"data"`, only the rest of its object.
    fn end_of_array(&mut self) -> Result<Option<Item>, Broken> {
        let in_object = self.shape == Shape::Data;
        self.shape = Shape::Ended;
        let mut last = None;
        while let Some(byte) = self.peek_past_space()? {
            if !in_object {
                return Err(self.wrong(format!("expected nothing after the array, found {}", shown(byte))));
            }
            last = Some(byte);
            self.at += 1;
        }
        if in_object && last != Some(b'}') {
            return Err(self.truncated());
        }
        Ok(None)
    }

    fn next_of_lines(&mut self) -> Result<Option<Item>, Broken> {
        match self.peek_past_space()? {
            None => {
                self.shape = Shape::Ended;
                Ok(None)
            }
            Some(b'{' | b'[' | b'"') => self.take_value().map(Some),
            Some(byte) => Err(self.wrong(format!("expected a line with an object, found {}", shown(byte)))),
        }
    }

    /// Takes one value, whose first byte is next.
    fn take_value(&mut self) -> Result<Item, Broken> {
        let offset = self.offset();
        let mut json = Vec::new();
        let mut scan = Scan::default();
        loop {
            let ahead = self.ahead()?;
            if ahead.is_empty() {
                return Err(self.truncated());
            }
            let mut taken = 0;
            let mut ended = false;
            for &byte in ahead {
                if scan.is_bare() && matches!(byte, b',' | b']' | b'}') {
                    ended = true;
                    break;
                }
                taken += 1;
                if scan.step(byte) {
                    ended = true;
                    break;
                }
            }
            json.extend_from_slice(&ahead[..taken]);
            self.at += taken;
            if ended {
                return Ok(Item { offset, json });
            }
            self.check_size(offset, json.len())?;
        }
    }

    fn check_size(&self, offset: u64, length: usize) -> Result<(), Broken> {
        if length <= LARGEST_ITEM {
            return Ok(());
        }
        let what = format!("an item of more than {} MiB begins here, which is no conversation", LARGEST_ITEM >> 20);
        Err(Broken::Wrong { at: offset, what })
    }
}

impl<R: Read> Iterator for Items<R> {
    type Item = Result<Item, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = match self.shape {
            Shape::Unknown => self.begin(),
            Shape::Array | Shape::Data => self.next_of_array(),
            Shape::Lines => self.next_of_lines(),
            Shape::Ended => Ok(None),
        };
        if item.is_err() {
            self.shape = Shape::Ended;
        }
        item.transpose()
    }
}

/// Where in a value we are.
#[derive(Debug, Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
    begun: bool,
}

impl Scan {
    /// Takes a byte; true when it was the last of the value.
    fn step(&mut self, byte: u8) -> bool {
        self.begun = true;
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    return self.depth == 0;
                }
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => return self.depth == 0 && byte.is_ascii_whitespace(),
        }
        false
    }

    /// Whether the value is a number or a word, which only what follows ends.
    fn is_bare(&self) -> bool {
        self.begun && self.depth == 0 && !self.in_string
    }
}

fn shown(byte: u8) -> String {
    if byte.is_ascii_graphic() { format!("`{}`", byte as char) } else { format!("byte 0x{byte:02x}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out one byte at a time, so that every boundary falls everywhere.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            buffer[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn items(text: &str) -> (Vec<String>, Option<Broken>) {
        let mut found = Vec::new();
        for item in Items::new(Dribble(text.as_bytes())) {
            match item {
                Ok(item) => {
                    assert!(text.as_bytes()[item.offset as usize..].starts_with(&item.json));
                    found.push(String::from_utf8(item.json).unwrap().trim().to_owned());
                }
                Err(broken) => return (found, Some(broken)),
            }
        }
        (found, None)
    }

    #[test]
    fn every_shape_gives_its_items() {
        for text in [
            r#"[{"a":"]"},{"b":[1,{"c":"\"}"}]}]"#,
            " [ {\"a\":\"]\"} ,\n {\"b\":[1,{\"c\":\"\\\"}\"}]} ] \n",
            "{\"a\":\"]\"}\n{\"b\":[1,{\"c\":\"\\\"}\"}]}\n",
            r#"{"version":1,"data":[{"a":"]"},{"b":[1,{"c":"\"}"}]}],"more":{}}"#,
            "\u{feff}[{\"a\":\"]\"},{\"b\":[1,{\"c\":\"\\\"}\"}]}]",
        ] {
            let (found, broken) = items(text);
            assert!(broken.is_none(), "{text}: {broken:?}");
            assert_eq!(found, [r#"{"a":"]"}"#, r#"{"b":[1,{"c":"\"}"}]}"#], "{text}");
        }
    }

    #[test]
    fn items_that_are_no_objects_are_handed_out_too() {
        assert_eq!(items(r#"[1, "a,b", null, [2,3]]"#).0, ["1", r#""a,b""#, "null", "[2,3]"]);
        assert_eq!(items(r#"{"data":"not a list","id":1}"#).0.len(), 1);
        assert_eq!(items("[]").0.len(), 0);
    }

    #[test]
    fn a_cut_anywhere_is_noticed_at_the_byte_where_the_file_ends() {
        let whole = r#"[{"a":"x"},{"b":[1,2]}]"#;
        for length in 1..whole.len() {
            let (found, broken) = items(&whole[..length]);
            assert!(
                matches!(broken, Some(Broken::Truncated { end, .. }) if end == length as u64),
                "{length}: {broken:?}"
            );
            assert_eq!(found.len(), usize::from(length >= 10) + usize::from(length >= 22), "{length}");
        }
        let data = r#"{"data":[{"a":1}]}"#;
        assert!((1..data.len()).all(|n| matches!(items(&data[..n]).1, Some(Broken::Truncated { .. }))));
    }

    #[test]
    fn what_is_not_json_is_named_with_its_byte() {
        for (text, byte) in [("hello", 0), ("[{} {}]", 4), ("[{},]", 4), ("[] x", 3), ("{}\n7", 3)] {
            assert!(matches!(items(text).1, Some(Broken::Wrong { at, .. }) if at == byte), "{text}: {:?}", items(text));
        }
        assert!(matches!(items(" \n").1, Some(Broken::Empty)));
    }
}
