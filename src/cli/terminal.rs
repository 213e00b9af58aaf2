//! The terminal: progress and messages on stderr, signals from it.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::{Error, Kind};
use crate::progress::Progress;
use crate::stop::Stop;

use super::Global;

/// What ends the process at a second signal.
static IMPATIENT: Mutex<Vec<signal_hook::SigId>> = Mutex::new(Vec::new());

/// Lets SIGINT and SIGTERM raise `stop`; a second one ends the process at once.
///
/// # Errors
/// When the system does not take the handler.
pub fn install_stop(stop: &Stop) -> std::io::Result<()> {
    let mut impatient = IMPATIENT.lock().expect("no holder of this lock panics");
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        impatient.push(signal_hook::flag::register_conditional_shutdown(signal, 130, stop.flag())?);
        signal_hook::flag::register(signal, stop.flag())?;
    }
    // A write beyond the limit of a file's size (ulimit -f) is an error like others, not an end.
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default())?;
    Ok(())
}

/// From now on a second signal does not end the process: what was measured would be lost, and the
/// first has it end within seconds.
pub fn keep_after_signals() {
    for action in IMPATIENT.lock().expect("no holder of this lock panics").drain(..) {
        signal_hook::low_level::unregister(action);
    }
}

/// Prints the last line of a failed run. A pipe that was closed, as `head` does, is no failure.
#[expect(clippy::print_stderr, reason = "this is the one place where errors reach the user")]
pub fn fail(error: &Error) {
    if error.kind() == Kind::ReaderGone {
        return;
    }
    eprintln!("kvtrace: {error}");
}

/// Messages and a progress bar on stderr; the bar only on a terminal and only on work longer
/// than a second.
pub struct Terminal {
    quiet: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Terminal {
    pub fn new(global: Global) -> Self {
        Self { quiet: global.quiet, bar: Mutex::new(None) }
    }

    /// Whether texts that replace each other can be shown.
    pub fn is_live(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    /// Lines of the terminal; elsewhere as many as a text can have.
    pub fn lines(&self) -> usize {
        if !self.is_live() {
            return usize::MAX;
        }
        terminal_size::terminal_size_of(std::io::stderr()).map_or(24, |(_, height)| height.0.into())
    }

    /// Whether nothing but errors may be said.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Shows a text that takes the place of the one shown before; where that cannot be, it is said
    /// like others.
    pub fn show(&self, text: &str) {
        if !self.is_live() {
            return self.say(text);
        }
        let mut bar = self.bar.lock().expect("no holder of this lock panics");
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.with_style(ProgressStyle::with_template("{msg}").expect("the template is ours"))
        });
        bar.set_message(text.to_owned());
    }

    /// Takes away what [`Terminal::show`] shows.
    pub fn unshow(&self) {
        self.done();
    }

    /// A line on stderr, unless `--quiet`.
    #[expect(clippy::print_stderr, reason = "this is the one place where messages reach the user")]
    pub fn say(&self, line: impl AsRef<str>) {
        if self.quiet {
            return;
        }
        let bar = self.bar.lock().expect("no holder of this lock panics");
        match bar.as_ref() {
            Some(bar) => bar.suspend(|| eprintln!("{}", line.as_ref())),
            None => eprintln!("{}", line.as_ref()),
        }
    }

    /// A line on stderr that starts with `warning:`.
    pub fn warn(&self, line: impl AsRef<str>) {
        self.say(format!("warning: {}", line.as_ref()));
    }
}

impl Progress for Terminal {
    fn stage(&self, name: &str, total: Option<u64>, unit: &'static str) {
        self.done();
        if self.quiet || !std::io::stderr().is_terminal() {
            return;
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        let amount = if unit == "bytes" {
            "{binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}"
        } else {
            "{human_pos}/{human_len} {msg}"
        };
        let template = match total {
            Some(_) => format!("{{prefix}} [{{bar:30}}] {amount} {{eta}}"),
            None => "{prefix} {spinner} {human_pos} {msg}".to_owned(),
        };
        bar.set_style(ProgressStyle::with_template(&template).expect("the template is ours").progress_chars("=> "));
        bar.set_prefix(name.to_owned());
        bar.set_message(unit);
        *self.bar.lock().expect("no holder of this lock panics") = Some(bar);
    }

    fn advance(&self, amount: u64) {
        if let Some(bar) = self.bar.lock().expect("no holder of this lock panics").as_ref() {
            bar.inc(amount);
            if bar.is_hidden() && bar.elapsed() > Duration::from_secs(1) {
                bar.set_draw_target(ProgressDrawTarget::stderr());
            }
        }
    }

    fn done(&self) {
        if let Some(bar) = self.bar.lock().expect("no holder of this lock panics").take() {
            bar.finish_and_clear();
        }
    }
}
