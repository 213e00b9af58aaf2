//! The names of keys, kept in temporary files: they are needed only to say which object failed.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use crate::error::Result;
use crate::seed::hash_bytes;

use super::rows::{scratch_error, scratch_file};

/// Names being numbered.
pub struct NameWriter {
    text: std::io::BufWriter<File>,
    ends: std::io::BufWriter<File>,
    end: u64,
    count: u32,
}

impl NameWriter {
    /// No names yet.
    pub fn new() -> Result<Self> {
        let buffered = || scratch_file().map(std::io::BufWriter::new);
        Ok(Self { text: buffered()?, ends: buffered()?, end: 0, count: 0 })
    }

    /// Gives a name the next number.
    pub fn push(&mut self, name: &str) -> Result<u32> {
        self.end += name.len() as u64;
        let written = self.text.write_all(name.as_bytes());
        written.and_then(|()| self.ends.write_all(&self.end.to_le_bytes())).map_err(|e| scratch_error(&e))?;
        self.count += 1;
        Ok(self.count - 1)
    }

    /// All names are there.
    pub fn finish(self) -> Result<Names> {
        let flushed = |file: std::io::BufWriter<File>| file.into_inner().map_err(|e| scratch_error(e.error()));
        Ok(Names { text: flushed(self.text)?, ends: flushed(self.ends)?, count: self.count })
    }
}

/// The names of keys by number.
#[derive(Debug)]
pub struct Names {
    text: File,
    ends: File,
    count: u32,
}

impl Names {
    /// How many.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// The name of key `number`; empty when it cannot be read back.
    pub fn get(&self, number: u32) -> String {
        let end = |number: u32| {
            let mut data = [0; 8];
            self.ends.read_exact_at(&mut data, u64::from(number) * 8).map(|()| u64::from_le_bytes(data))
        };
        let read = || {
            let start = if number == 0 { 0 } else { end(number - 1)? };
            let mut name = vec![0; (end(number)? - start) as usize];
            self.text.read_exact_at(&mut name, start)?;
            std::io::Result::Ok(String::from_utf8_lossy(&name).into_owned())
        };
        read().unwrap_or_default()
    }

    /// The hash of key `number`, as its content is keyed by it.
    pub fn content(&self, number: u32) -> u64 {
        hash_bytes(self.get(number).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_number() {
        let mut writer = NameWriter::new().unwrap();
        for (number, name) in ["conv_a", "", "ключ"].iter().enumerate() {
            assert_eq!(writer.push(name).unwrap(), number as u32);
        }
        let names = writer.finish().unwrap();
        assert_eq!([names.get(0), names.get(1), names.get(2), names.get(9)], ["conv_a", "", "ключ", ""]);
    }
}
