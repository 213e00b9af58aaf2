//! What is shown while a capture runs: one line on a terminal, or with `--watch` a table.

use std::time::{Duration, Instant};

use crate::capture::Snapshot;
use crate::capture::devices::Device;
use crate::error::Result;

use super::super::terminal::Terminal;
use super::{status, watch};

/// How often the line is made anew.
const SECOND: Duration = Duration::from_secs(1);

/// What is shown, and since when it has been there.
pub struct Live<'a> {
    terminal: &'a Terminal,
    /// Of the table; none shows the line.
    watch: Option<Duration>,
    devices: String,
    last: Option<(Instant, Snapshot)>,
    /// Nobody would see it, or the counts cannot be read, which the end of the capture will say.
    off: bool,
}

impl<'a> Live<'a> {
    /// `watch` is the interval of the table.
    pub fn new(terminal: &'a Terminal, devices: &[Device], watch: Option<Duration>) -> Self {
        let devices: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
        let off = !terminal.is_live() && (watch.is_none() || terminal.is_quiet());
        Self { terminal, watch, devices: devices.join(", "), last: None, off }
    }

    /// Shows the last interval, if one is over; `snapshot` reads the counts.
    pub fn tick(&mut self, snapshot: impl FnOnce() -> Result<Snapshot>) {
        let interval = self.watch.unwrap_or(SECOND);
        if self.off || self.last.as_ref().is_some_and(|(since, _)| since.elapsed() < interval) {
            return;
        }
        let at = Instant::now();
        let Ok(now) = snapshot() else {
            self.off = true;
            return;
        };
        if let Some((_, earlier)) = &self.last {
            match self.watch {
                Some(_) => self.terminal.show(&watch::table(earlier, &now, &self.devices, self.terminal.lines())),
                None => self.terminal.show(&status::line(earlier, &now)),
            }
        }
        self.last = Some((at, now));
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.terminal.unshow();
    }
}
