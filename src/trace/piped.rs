//! A stream that may never end, or never say anything, read so that a request to stop is heard.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::stop::Stop;

/// Bytes that are read at a time.
const PART: usize = 256 << 10;
/// How long a request to stop goes unheard at most.
const PATIENCE: Duration = Duration::from_millis(50);

/// A stream that a thread of its own reads. When somebody asks to stop, reading fails; the thread
/// may still wait for the stream then, and ends with the process.
pub struct Piped {
    parts: Receiver<io::Result<Vec<u8>>>,
    part: io::Cursor<Vec<u8>>,
    stop: Stop,
}

impl Piped {
    /// Begins to read.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub fn new(mut stream: impl Read + Send + 'static, stop: &Stop) -> io::Result<Self> {
        let (sender, parts) = sync_channel(2);
        std::thread::Builder::new().name("kvtrace-input".to_owned()).spawn(move || {
            loop {
                let mut part = vec![0; PART];
                let read = match stream.read(&mut part) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read,
                };
                let is_last = !matches!(read, Ok(1..));
                part.truncate(*read.as_ref().unwrap_or(&0));
                if sender.send(read.map(|_| part)).is_err() || is_last {
                    return;
                }
            }
        })?;
        Ok(Self { parts, part: io::Cursor::default(), stop: stop.clone() })
    }
}

impl Read for Piped {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.part.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            if self.stop.requested() {
                return Err(io::Error::other("interrupted"));
            }
            match self.parts.recv_timeout(PATIENCE) {
                Ok(part) => self.part = io::Cursor::new(part?),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
            if self.part.get_ref().is_empty() {
                return Ok(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn all_of_a_stream_arrives() {
        let data: Vec<u8> = (0..3 * PART as u32 + 17).map(|i| (i.wrapping_mul(7919) >> 5) as u8).collect();
        let mut read = Vec::new();
        Piped::new(io::Cursor::new(data.clone()), &Stop::new()).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, data);
    }

    #[test]
    fn a_stream_that_says_nothing_and_one_without_an_end_are_left_when_asked() {
        let (silent, mut writer) = io::pipe().unwrap();
        writer.write_all(b"head").unwrap();
        let stop = Stop::new();
        let mut piped = Piped::new(silent, &stop).unwrap();
        let mut head = [0; 4];
        piped.read_exact(&mut head).unwrap();
        stop.request();
        assert!(piped.read(&mut head).is_err());
        let mut endless = Piped::new(io::repeat(7), &stop).unwrap();
        assert!(io::copy(&mut endless, &mut io::sink()).is_err());
    }
}
