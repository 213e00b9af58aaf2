//! The plan's rows: 64 bytes each in an unlinked temporary file, so that memory does not depend
//! on the length of the trace.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::error::{Error, Result, plain};
use crate::trace::{Op, Phase, Tier};

/// Bytes of a row in the file.
const ROW: usize = 64;
/// Where in it the flags are.
const FLAGS: usize = 43;
/// Rows kept in memory at a time.
const WINDOW: usize = 16 << 10;
/// Rows read back at a time: few, so that the run does not stand still meanwhile.
const FETCHED: u64 = 512;

/// The tier's copy of the object is not used after this row.
pub const LAST_USE: u8 = 1;
/// The second leg of an earlier row's move.
pub const JOINED: u8 = 2;

/// A row, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Time since the first row.
    pub at_ns: i64,
    /// Bytes to move, scaled.
    pub size: u64,
    /// The hash of the key.
    pub content: u64,
    /// The ordinal of its request.
    pub request: Option<u64>,
    /// The request or conversation in whose order its operation stands; `u32::MAX` for none.
    pub chain: u32,
    /// The key's number.
    pub key: u32,
    /// The version of the object that is read or written.
    pub version: u32,
    /// The direction.
    pub op: Op,
    /// The tier.
    pub tier: Tier,
    /// The phase.
    pub phase: Phase,
    /// [`LAST_USE`], [`JOINED`].
    pub flags: u8,
    /// For a read whose object moves to another tier: where to.
    pub leg: Option<Leg>,
}

/// The second leg of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The tier that is written.
    pub tier: Tier,
    /// Rows from the read to the write.
    pub distance: u32,
    /// The write's own time.
    pub at_ns: i64,
}

impl Row {
    /// Whether `flag` is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn encode(&self) -> [u8; ROW] {
        let mut out = [0; ROW];
        out[0..8].copy_from_slice(&self.at_ns.to_le_bytes());
        out[8..16].copy_from_slice(&self.size.to_le_bytes());
        out[16..24].copy_from_slice(&self.content.to_le_bytes());
        out[24..32].copy_from_slice(&self.request.unwrap_or(u64::MAX).to_le_bytes());
        out[32..36].copy_from_slice(&self.key.to_le_bytes());
        out[36..40].copy_from_slice(&self.version.to_le_bytes());
        out[40..44].copy_from_slice(&[self.op as u8, self.tier as u8, self.phase as u8, self.flags]);
        out[44] = self.leg.map_or(u8::MAX, |leg| leg.tier as u8);
        out[48..52].copy_from_slice(&self.leg.map_or(0, |leg| leg.distance).to_le_bytes());
        out[52..56].copy_from_slice(&self.chain.to_le_bytes());
        out[56..64].copy_from_slice(&self.leg.map_or(0, |leg| leg.at_ns).to_le_bytes());
        out
    }

    fn decode(data: &[u8; ROW]) -> Self {
        let word = |at: usize| u64::from_le_bytes(data[at..at + 8].try_into().expect("eight bytes"));
        let half = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes"));
        let tier = |at: usize| Tier::try_from(data[at]).ok();
        Self {
            at_ns: word(0) as i64,
            size: word(8),
            content: word(16),
            request: Some(word(24)).filter(|r| *r != u64::MAX),
            chain: half(52),
            key: half(32),
            version: half(36),
            op: Op::ALL[usize::from(data[40])],
            tier: tier(41).expect("rows are written by us"),
            phase: Phase::ALL[usize::from(data[42])],
            flags: data[43],
            leg: tier(44).map(|tier| Leg { tier, distance: half(48), at_ns: word(56) as i64 }),
        }
    }
}

/// An unlinked temporary file: it goes when it is closed, however the process ends.
pub fn scratch_file() -> Result<File> {
    use rustix::fs::{Mode, OFlags};
    let dir = std::env::temp_dir();
    let named = |e: io::Error| {
        Error::io(format!(
            "cannot make a temporary file in {}: {}; set TMPDIR to another folder",
            dir.display(),
            plain(&e)
        ))
    };
    match rustix::fs::open(&dir, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::from_raw_mode(0o600)) {
        Ok(fd) => return Ok(File::from(fd)),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {}
        Err(e) => return Err(named(e.into())),
    }
    let path = dir.join(format!("kvtrace-plan-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).map_err(named)?;
    std::fs::remove_file(&path).map_err(named)?;
    Ok(file)
}

/// What a full temporary folder means to the user.
pub fn scratch_error(error: &io::Error) -> Error {
    Error::io(format!(
        "cannot write the plan to {}: {}; set TMPDIR to another folder",
        std::env::temp_dir().display(),
        plain(error)
    ))
}

/// Rows being written. The latest ones are in memory and can be changed cheaply.
pub struct RowWriter {
    file: File,
    window: Vec<Row>,
    written: u64,
}

impl RowWriter {
    /// An empty file of rows.
    pub fn new() -> Result<Self> {
        Ok(Self { file: scratch_file()?, window: Vec::with_capacity(WINDOW), written: 0 })
    }

    /// Rows so far.
    pub fn len(&self) -> u64 {
        self.written + self.window.len() as u64
    }

    /// Appends a row and says its index.
    pub fn push(&mut self, row: Row) -> Result<u64> {
        if self.window.len() == WINDOW {
            self.flush(WINDOW / 2)?;
        }
        self.window.push(row);
        Ok(self.len() - 1)
    }

    /// Changes a row.
    pub fn change(&mut self, index: u64, change: impl FnOnce(&mut Row)) -> Result<()> {
        if let Some(at) = index.checked_sub(self.written) {
            change(&mut self.window[at as usize]);
            return Ok(());
        }
        let mut data = [0; ROW];
        let offset = index * ROW as u64;
        self.file.read_exact_at(&mut data, offset).map_err(|e| scratch_error(&e))?;
        let mut row = Row::decode(&data);
        change(&mut row);
        self.file.write_all_at(&row.encode(), offset).map_err(|e| scratch_error(&e))
    }

    /// Sets a flag of many rows, those in the file in the order in which they lie there.
    pub fn flag_all(&mut self, mut indices: Vec<u64>, flag: u8) -> Result<()> {
        indices.sort_unstable();
        let in_file = indices.partition_point(|index| *index < self.written);
        let mut data = Vec::new();
        for block in indices[..in_file].chunk_by(|a, b| a / WINDOW as u64 == b / WINDOW as u64) {
            let (first, last) = (block[0], block[block.len() - 1]);
            data.resize((last - first + 1) as usize * ROW, 0);
            self.file.read_exact_at(&mut data, first * ROW as u64).map_err(|e| scratch_error(&e))?;
            block.iter().for_each(|index| data[(index - first) as usize * ROW + FLAGS] |= flag);
            self.file.write_all_at(&data, first * ROW as u64).map_err(|e| scratch_error(&e))?;
        }
        indices[in_file..].iter().for_each(|index| self.window[(index - self.written) as usize].flags |= flag);
        Ok(())
    }

    fn flush(&mut self, count: usize) -> Result<()> {
        let data: Vec<u8> = self.window.drain(..count).flat_map(|row| row.encode()).collect();
        self.file.write_all_at(&data, self.written * ROW as u64).map_err(|e| scratch_error(&e))?;
        self.written += count as u64;
        Ok(())
    }

    /// All rows are there.
    pub fn finish(mut self) -> Result<Rows> {
        self.flush(self.window.len())?;
        Ok(Rows { file: self.file, count: self.written })
    }
}

/// The rows of a plan.
#[derive(Debug)]
pub struct Rows {
    file: File,
    count: u64,
}

impl Rows {
    /// How many.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Reads them from the first.
    pub fn iter(&self) -> RowIter<'_> {
        RowIter { rows: self, next: 0, data: Vec::new(), at: 0 }
    }
}

/// Rows in order, read some hundred at a time.
pub struct RowIter<'a> {
    rows: &'a Rows,
    next: u64,
    data: Vec<u8>,
    at: usize,
}

impl RowIter<'_> {
    /// The next row; none after the last.
    pub fn next_row(&mut self) -> Result<Option<Row>> {
        if self.at == self.data.len() {
            let count = (self.rows.count - self.next).min(FETCHED);
            if count == 0 {
                return Ok(None);
            }
            self.data.resize(count as usize * ROW, 0);
            self.rows
                .file
                .read_exact_at(&mut self.data, self.next * ROW as u64)
                .map_err(|e| Error::io(format!("cannot read the plan back: {}", plain(&e))))?;
            self.next += count;
            self.at = 0;
        }
        let row = self.data[self.at..self.at + ROW].try_into().expect("a whole row");
        self.at += ROW;
        Ok(Some(Row::decode(row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_the_file_and_can_be_changed_late() {
        let row = |i: u64| Row {
            at_ns: i as i64 * 10,
            size: i + 1,
            content: i ^ 77,
            request: i.is_multiple_of(2).then_some(i),
            chain: i as u32 ^ 5,
            key: i as u32,
            version: 3,
            op: Op::Read,
            tier: Tier::Dram,
            phase: Phase::Evict,
            flags: 0,
            leg: i.is_multiple_of(3).then_some(Leg { tier: Tier::Storage, distance: 1, at_ns: -4 }),
        };
        let count = WINDOW as u64 * 2 + 5;
        let mut writer = RowWriter::new().unwrap();
        for i in 0..count {
            assert_eq!(writer.push(row(i)).unwrap(), i);
        }
        for index in [0, count / 2, count - 1] {
            writer.change(index, |r| r.flags |= LAST_USE).unwrap();
        }
        let joined = vec![count - 2, 5, count - 1, 7, WINDOW as u64 + 3];
        writer.flag_all(joined.clone(), JOINED).unwrap();
        let rows = writer.finish().unwrap();
        let mut iter = rows.iter();
        for i in 0..count {
            let flags = if [0, count / 2, count - 1].contains(&i) { LAST_USE } else { 0 };
            let flags = flags | if joined.contains(&i) { JOINED } else { 0 };
            assert_eq!(iter.next_row().unwrap(), Some(Row { flags, ..row(i) }));
        }
        assert_eq!(iter.next_row().unwrap(), None);
    }
}
